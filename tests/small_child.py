"""Helper: a process of a search without TensorFlow, `python -m small_child FOLDER WHAT`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from cnnrecipes import errors
from cnnrecipes.tuning.child_process import end_with_parent, status_of


def work(folder: Path, what: str) -> None:
    """Begin, and end as `what` says; "wait" writes "stopped" when it is asked to end."""
    if what == "DataError":
        raise errors.DataError("no folder '/data'; give another")
    if what == "KeyError":
        raise KeyError("image")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)

    def stop(number, frame):
        (folder / "stopped").touch()
        raise errors.Interrupted("stopped")

    signal.signal(signal.SIGTERM, stop)
    (folder / "started").touch()
    time.sleep(60 if what == "wait" else 0)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(status_of(lambda: work(Path(sys.argv[1]), sys.argv[2])))
