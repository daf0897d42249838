"""A worker of `cnnrecipes tune --workers`: `python -m cnnrecipes.tuning.worker FOLDER [--isolate]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(folder: str, *options: str) -> int:
    """Run trials of the search until the chief has no more; return the exit status."""
    from cnnrecipes._support.console import import_tensorflow, say
    from cnnrecipes.errors import CNNRecipesError, Interrupted

    import_tensorflow()
    from cnnrecipes.tuning.open_data import OpenData
    from cnnrecipes.tuning.parallel import INTERRUPTED, end_with_parent, work
    from cnnrecipes.tuning.roles import find_role
    from cnnrecipes.tuning.search import Search

    end_with_parent()
    try:
        role = find_role()
        assert role is not None, "the launcher sets keras-tuner's variables"
        with OpenData() as data:
            work(Search.open(Path(folder)), role, data, _flushed(say), isolate="--isolate" in options)
    except Interrupted as error:
        say(error)
        return INTERRUPTED
    except CNNRecipesError as error:
        say(f"error: {error}")
        return 1
    return 0


def _flushed(say):
    def tell(text: object) -> None:
        say(text)
        sys.stdout.flush()

    return tell


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # the thread that waits for the parent holds standard input
