"""The rooms of the house: imports point only to a room with a smaller number, or stay inside."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "cnnrecipes"
ROOMS = {
    "errors": 0,
    "files": 1,
    "keras_settings": 1,
    "registration": 0,
    "recipe": 1,
    "recipe_values": 1,
    "catalog": 1,
    "duration": 1,
    "lengths": 1,
    "calls": 1,
    "methods": 1,
    "operations": 1,
    "views": 1,
    "waiting": 1,
    "pictures": 1,
    "initialization": 1,
    "layers": 2,
    "models": 3,
    "data": 4,
    "training": 5,
    "artefact": 6,
    "tta": 6,
    "evaluation": 6,
    "unfinished": 6,
    "run": 6,
    "run_display": 6,
    "preparing": 7,
    "extending": 7,
    "fitting": 8,
    "resume_check": 9,
    "launching": 9,
    "debug": 9,
    "experiments": 9,
    "cli": 10,
    "__main__": 11,
    "terminal": 1,
    "wrapping": 0,
    "__init__": 10,
}
# data reads recipes and knows no models.
CLOSED = {("data", "layers"), ("data", "models")}


def room(module: str) -> str:
    """The room of a dotted module name, as "data" of cnnrecipes.data.split."""
    return [*module.split("."), "__init__"][1]


def imports(path: Path) -> set[str]:
    """The modules of cnnrecipes that a file imports, as rooms."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "cnnrecipes":
            found |= {f"cnnrecipes.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {room(name) for name in found if name.split(".")[0] == "cnnrecipes"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way_through_the_rooms(path):
    relative = path.relative_to(PACKAGE)
    here = relative.parts[0].removesuffix(".py")
    assert here in ROOMS, f"{relative} stands in no room"
    for there in imports(path) - {here}:
        assert ROOMS[there] < ROOMS[here] or ROOMS[there] == ROOMS[here] in (1, 6, 10), f"{relative} imports {there}"
        assert (here, there) not in CLOSED, f"{relative} imports {there}"


@pytest.mark.parametrize(
    "code",
    [
        "import cnnrecipes; cnnrecipes.recipes()",
        "import sys; sys.argv[1:] = ['list']; from cnnrecipes.cli import app; app(standalone_mode=False)",
        "from cnnrecipes.cli import app; app(['show', 'resnet8_digits', 'train.epochs=2'], standalone_mode=False)",
    ],
)
def test_tensorflow_is_not_imported_before_it_is_needed(code):
    code += "; import sys; assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
