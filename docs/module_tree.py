"""Write docs/modules.md, the tree of the package with one line a module: run `python docs/module_tree.py`."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# The modules

One line a module, its docstring's first; `tests/test_rooms.py` has the order in which folders may import each other,
CONTRIBUTING.md what is in each folder and how to add to it. Written by `make module-tree`.

```
"""
WIDTH = 120


def first_line(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]


def lines(folder: Path, indent: str = "") -> list[str]:
    """The lines of a package: its modules, then its packages."""
    modules = [path for path in sorted(folder.glob("*.py")) if path.name not in ("__init__.py", "__main__.py")]
    found = [f"{indent}{path.name:<{26 - len(indent)}} {first_line(path)}" for path in modules]
    for package in sorted(path.parent for path in folder.glob("*/__init__.py")):
        found += [f"{indent}{package.name + '/':<{26 - len(indent)}} {first_line(package / '__init__.py')}"]
        found += lines(package, indent + "  ")
    return found


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(["cnnrecipes/", *lines(ROOT / "cnnrecipes", "  ")]) + "\n```\n"


if __name__ == "__main__":
    (ROOT / "docs" / "modules.md").write_text(page(), encoding="utf-8")
