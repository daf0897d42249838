"""The Python blocks of the documentation, which tests execute."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def run_block(page: str, heading: str, replace: dict[str, str] | None = None, **names: Any) -> dict[str, Any]:
    """Execute the Python block below a heading of a page; return its names.

    Args:
        replace: parts of its text to replace, for example by a smaller setting; each must be there.
        names: names that the block may use.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    block = re.search(r"```python\n(.*?)```", section, re.S)[1]
    for old, new in (replace or {}).items():
        assert old in block, old
        block = block.replace(old, new)
    exec(compile(block, f"docs/{page}", "exec"), names)
    return names
