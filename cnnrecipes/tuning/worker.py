"""A worker of `cnnrecipes tune --workers`: `python -m cnnrecipes.tuning.worker FOLDER [--isolate]`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from cnnrecipes.tuning.child_process import end_with_parent, status_of


def main(folder: str, *options: str) -> None:
    """Run trials of the search until the chief has no more."""
    from cnnrecipes._support.console import import_tensorflow, say

    import_tensorflow()
    from cnnrecipes.tuning.open_data import OpenData
    from cnnrecipes.tuning.parallel import work
    from cnnrecipes.tuning.roles import find_role
    from cnnrecipes.tuning.search import Search

    role = find_role()
    assert role is not None, "the launcher sets keras-tuner's variables"
    with OpenData() as data:
        work(Search.open(Path(folder)), role, data, _flushed(say), isolate="--isolate" in options)


def _flushed(say: Callable[[object], None]) -> Callable[[object], None]:
    def tell(text: object) -> None:
        say(text)
        sys.stdout.flush()

    return tell


if __name__ == "__main__":
    end_with_parent()
    sys.exit(status_of(lambda: main(*sys.argv[1:])))
