"""Warnings ignored in one thread alone; `warnings.catch_warnings` replaces the filters of the whole process."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from typing import Any


class _InThisThread(threading.local):
    """The message pattern of a filter, of which `warnings` calls `match`: true while the thread ignores warnings."""

    ignored = 0

    def match(self, text: str) -> bool:
        """Return True if the current thread ignores warnings."""
        return self.ignored > 0


_pattern = _InThisThread()
_FILTER: Any = ("ignore", _pattern, Warning, None, 0)
_lock = threading.Lock()


@contextlib.contextmanager
def ignored_in_this_thread() -> Iterator[None]:
    """Ignore all warnings of the current thread in the `with` block.

    Two threads that leave `catch_warnings` in another order than they entered it restore each other's filters, so that
    for example "ignore UserWarning" remains for good. This filter stays, and concerns no other thread.
    """
    with _lock:
        if not warnings.filters or warnings.filters[0] is not _FILTER:
            with contextlib.suppress(ValueError):
                warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]
            warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
    _pattern.ignored += 1
    try:
        yield
    finally:
        _pattern.ignored -= 1
