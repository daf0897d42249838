"""Inspection of the keyword arguments that a user-defined factory accepts."""

from __future__ import annotations

import inspect
from collections.abc import Callable


def takes(factory: Callable, keyword: str) -> bool:
    """Return True if a factory accepts the keyword argument, or if its signature cannot be inspected."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return True
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
