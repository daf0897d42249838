"""Release of memory that reference cycles hold."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def collect_garbage_afterwards(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to run the garbage collector when it returns or raises.

    Python starts a collection by the number of objects; models and optimizers are few objects in cycles, but large.
    """

    @wraps(function)
    def collecting(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        finally:
            gc.collect()

    return collecting
