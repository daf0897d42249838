"""Console output: names as printable text, lines wrapped at the terminal width, TensorFlow's import without logs."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence

from cnnrecipes._support import keras_settings
from cnnrecipes._support.cluster import find_cluster
from cnnrecipes._support.garbage_collection import without_garbage_collection
from cnnrecipes._support.text_wrapping import terminal_width, wrap

# Lines of absl and TensorFlow: "I0000 00:00:1795.4 7261 port.cc:153] oneDNN ...", "2026-11-24 19:30:01.1: I ...".
_LOGGED = re.compile(
    rb"WARNING: All log messages before absl::|[IWE]\d{4} \d\d:\d\d:|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
    rb"|To enable the following instructions:"
)
_JOINERS = "\u200c\u200d"


def printable(text: object) -> str:
    r"""Return text for one terminal line, with control, bidirectional and undecodable characters escaped.

    Every name from data, a file or a model is printed through this function: a class named "\x1b[2J" would clear the
    screen, and U+202E would reverse the text after it. Joiners, which Persian and emoji need, are kept.
    """
    return "".join(
        character if character.isprintable() or character in _JOINERS else _escaped(character)
        for character in str(text)
    )


def say(text: object, indent: int = 2) -> None:
    """Print a line to standard output, with unprintable characters escaped; wrap it at the terminal width.

    Args:
        text: the line.
        indent: spaces before each continuation line.
    """
    print(wrap(printable(text), terminal_width(), indent))


def silent(text: object, indent: int = 2) -> None:
    """Print nothing; a replacement for `say`."""


def printable_list(names: Sequence[object], most: int = 6) -> str:
    """Return printable names joined by commas; of more than `most` names, the last ones become "and N more"."""
    shown = [printable(name) for name in names[:most]]
    if len(names) > most:
        shown[-1:] = [f"and {len(names) - most + 1:,} more"]
    return ", ".join(shown)


def import_tensorflow(devices: bool = True) -> None:
    """Import TensorFlow without its startup log messages, which no log level disables; show them if the import fails.

    Sets TF_CPP_MIN_LOG_LEVEL to 3 if it is unset: errors in TensorFlow are raised as exceptions in any case. With
    TF_CPP_MIN_LOG_LEVEL=0 all messages are shown. For processes of this package, such as the command line: what is
    imported is exempted from garbage collection.

    Args:
        devices: also initialize the devices, which logs messages too.

    Raises:
        KerasSettingError: the Keras backend is not TensorFlow.
        TrainingError: TF_CONFIG or a variable of SLURM is invalid.
    """
    keras_settings.check_backend()
    # In a cluster TensorFlow must not initialize its devices before the workers are connected.
    devices = devices and find_cluster(os.environ) is None
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with without_garbage_collection(), contextlib.nullcontext() if level == "0" else _without_logs():
        import tensorflow as tf

        if devices:
            tf.config.list_logical_devices()
    gc.freeze()  # each training ends with a collection, which takes 0.3 s longer with the objects of the packages


@contextlib.contextmanager
def _without_logs() -> Iterator[None]:
    """Filter TensorFlow's log lines out of the process's stderr; write the other lines on exit."""
    try:
        screen = os.dup(2)
    except OSError:  # closed, as a service's may be
        yield
        return
    if sys.stderr:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        shown: re.Pattern[bytes] | None = _LOGGED
        try:
            yield
        except BaseException:
            shown = None
            raise
        finally:
            if sys.stderr:
                sys.stderr.flush()
            os.dup2(screen, 2)
            written.seek(0)
            os.write(2, b"".join(line for line in written if not (shown and shown.match(line))))
            os.close(screen)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
