"""Layering: imports point only to rooms with a smaller number, and the modules of a room have no circular imports."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "cnnrecipes"
ROOMS = {
    name: number
    for number, name in enumerate(
        (
            "errors",
            "_support",
            "syntax",
            "augment",
            "optim",
            "recipe",
            "keras_optim",
            "figures",
            "layers",
            "models",
            "data",
            "runs",
            "diagnosis",
            "explain",
            "report",
            "training",
            "transfer",
            "fit",
            "analysis",
            "debug",
            "comparison",
            "compare",
            "tuning",
            "experiments",
            "verify",
            "cli",
            "__main__",
        )
    )
}
# The public names, and the command line, which imports them as a user would.
EVERYTHING = ("__init__", "cli")
# data reads recipes, but must not import models.
CLOSED = {("data", "layers"), ("data", "models")}
# A recipe is read without these packages: rooms up to `recipe` import them on first use.
LAZY = {"tensorflow", "keras", "numpy"}
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in FILES}


def imports(path: Path, types: bool) -> set[str]:
    """The modules of cnnrecipes that a file imports, for example "data.standardize"; `types`: those for types too."""
    found = set()
    todo = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING" and not types:
            todo.extend(node.orelse)
            continue
        todo.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {module_of(name.removeprefix("cnnrecipes").removeprefix(".")) for name in names if is_ours(name)}
    return found


def is_ours(name: str) -> bool:
    return name.split(".")[0] == "cnnrecipes"


def module_of(name: str) -> str:
    """The module that a dotted name below cnnrecipes refers to."""
    while name and name not in MODULES and f"{name}.__init__" not in MODULES:
        name = name.rpartition(".")[0]
    return name if name in MODULES else f"{name}.__init__".removeprefix(".")


def room(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) not in EVERYTHING])
def test_imports_point_to_rooms_with_smaller_numbers(module):
    assert room(module) in ROOMS, f"{module} stands in no room"
    for there in imports(MODULES[module], types=True):
        if room(there) != room(module) and there != "__init__":
            assert ROOMS[room(there)] < ROOMS[room(module)], f"{module} imports {there}"
            assert (room(module), room(there)) not in CLOSED, f"{module} imports {there}"


def test_package_has_no_circular_imports():
    paths = {module: path for module, path in MODULES.items() if module != "__init__"}
    graph = {module: imports(path, types=False) - {module, "__init__"} for module, path in paths.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) >= set(graph)


def test_top_level_contains_only_rooms():
    allowed = {"__init__", "__main__", "errors", "fit", "compare"}
    assert {path.stem for path in PACKAGE.glob("*.py")} <= allowed


@pytest.mark.parametrize(
    "code",
    [
        "import cnnrecipes; cnnrecipes.recipes()",
        "import sys; sys.argv[1:] = ['list']; from cnnrecipes.cli.app import app; app(standalone_mode=False)",
        "from cnnrecipes.cli.app import app; app(['show', 'resnet8_digits', 'train.epochs=2'], standalone_mode=False)",
    ],
)
def test_tensorflow_is_imported_lazily(code):
    code += f"; import sys; assert not {LAZY} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_rooms_up_to_recipe_import_tensorflow_lazily():
    """Each module, in one process: none of them imports TensorFlow, Keras or NumPy when it is imported."""
    names = [module.removesuffix(".__init__") for module in MODULES if ROOMS.get(room(module), 99) <= ROOMS["recipe"]]
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(f"cnnrecipes.{{name}}")
    assert not {LAZY} & set(sys.modules), name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", ["import cnnrecipes.fit", "from cnnrecipes.fit import extend", "pass"])
def test_fit_is_the_function_regardless_of_import_order(code):
    code += "; import cnnrecipes as cr; assert callable(cr.fit); import cnnrecipes.fit; assert callable(cr.fit)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
