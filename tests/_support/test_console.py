"""Names from data and files are printed on one line without control sequences; TensorFlow's log is suppressed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cnnrecipes._support import console
from cnnrecipes._support.console import printable, printable_list
from cnnrecipes.errors import TrainingError


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b31m", r"\x9b31m"),  # the one-byte form of ESC [
        ("abc\u202edcba", r"abc\u202edcba"),
        ("\u2028", r"\u2028"),
        ("caf\udce9", r"caf\udce9"),  # a file name that is not UTF-8
        ("[bold red]x", "[bold red]x"),
        ("Größe 猫 سلام 👩\u200d🔬", "Größe 猫 سلام 👩\u200d🔬"),
        (7, "7"),
    ],
)
def test_control_characters_are_escaped_and_letters_are_kept(raw, shown):
    assert printable(raw) == shown
    shown.encode()  # must be encodable


def test_long_lists_are_truncated_and_counted():
    assert printable_list(["a", "b"]) == "a, b"
    assert printable_list([f"c{i}" for i in range(3000)], most=3) == "c0, c1, and 2,998 more"


def python(code):
    """Run code in a subprocess with TensorFlow's default log level."""
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


def test_tensorflow_import_and_device_discovery_log_nothing():
    done = python(
        "import cnnrecipes as cr; cr.build; import tensorflow as tf; print(len(tf.config.list_logical_devices()))"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= 1


def test_only_tensorflow_log_lines_are_removed_from_stderr(capfd):
    with console._without_logs():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
        os.write(2, b"I0000 00:00:1795548597.468583    7261 port.cc:153] oneDNN custom operations are on.\n")
        os.write(2, b"2026-11-24 19:30:01.123456: I tensorflow/core/platform/cpu_feature_guard.cc:210] binary\n")
        os.write(2, b"Of another thread: 100%\nwithout a line's end")
    assert capfd.readouterr().err == "Of another thread: 100%\nwithout a line's end"


@console._without_logs()
def failing_import():
    os.write(2, b"E0000 00:00:1795548597.468583    7261 x.cc:1] why\n")
    raise ImportError("no TensorFlow")


def test_log_is_shown_if_the_import_fails(capfd):
    with pytest.raises(ImportError, match="no TensorFlow"):
        failing_import()
    assert "x.cc:1] why" in capfd.readouterr().err


def test_import_works_with_closed_stderr():
    done = python(
        "import os; os.close(2); import cnnrecipes._support.console as t\nwith t._without_logs(): print('done')"
    )
    assert done.stdout == "done\n"


def test_invalid_cluster_variable_is_a_training_error(monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "two")
    with pytest.raises(TrainingError, match="SLURM_NTASKS is 'two'; it must be a whole number"):
        console.import_tensorflow()
    console.import_tensorflow(devices=False)
