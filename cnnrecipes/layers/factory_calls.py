"""What a factory of the user's own can be called with."""

from __future__ import annotations

import inspect
from collections.abc import Callable


def takes(factory: Callable, keyword: str) -> bool:
    """Whether a factory can be called with this keyword; yes where its signature cannot be read."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return True
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
