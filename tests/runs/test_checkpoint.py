"""Checkpoint files: whole or not there, verified, the one before taken where the newest is damaged."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import keras
import numpy as np
import pytest

from cnnrecipes.errors import RunError
from cnnrecipes.runs import checkpoint

ARRAYS = {"model/00000": np.arange(12, dtype=np.float32).reshape(3, 4), "counters/00000": np.int64(7)}
STATE = {"parts": {"position": {"epoch": 1, "step": 2}}, "numbers": [0.1 + 0.2, 1e-300]}


def test_what_is_written_is_read_bit_for_bit_and_numpy_opens_it(tmp_path):
    path = tmp_path / "step_000000005.npz"
    checkpoint.write(path, ARRAYS, STATE)
    found = checkpoint.read(path)
    assert found.state == STATE
    for name, array in ARRAYS.items():
        assert found.arrays[name].tobytes() == array.tobytes()
        assert found.arrays[name].dtype == array.dtype
    np.testing.assert_array_equal(np.load(path)["model/00000"], ARRAYS["model/00000"])
    assert list(tmp_path.iterdir()) == [path]


def test_any_flipped_byte_of_an_array_is_found(tmp_path):
    path = tmp_path / "step_000000005.npz"
    checkpoint.write(path, ARRAYS, STATE)
    whole = path.read_bytes()
    start = whole.index(ARRAYS["model/00000"].tobytes())
    for place in range(start, start + 48, 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(RunError, match="is damaged"):
            checkpoint.read(path)


def test_what_a_kill_left_half_written_is_taken_away(tmp_path):
    for name in (".123.step_000000005.npz", ".123.best.npz", "best.npz"):
        (tmp_path / name).touch()
    checkpoint.Writer(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["best.npz"]


@pytest.mark.parametrize("kept", [0, 1, 30, 100, -1])
def test_the_one_before_stands_in_for_a_cut_one(tmp_path, kept):
    for step in (5, 10):
        checkpoint.write(tmp_path / f"step_{step:09d}.npz", ARRAYS, {**STATE, "step": step})
    newest = tmp_path / "step_000000010.npz"
    newest.write_bytes(newest.read_bytes()[:kept])
    said = []
    assert checkpoint.newest(tmp_path, said.append).state["step"] == 5
    assert "step_000000010.npz" in said[0]
    assert "the one before it is used" in said[0]
    (tmp_path / "step_000000005.npz").write_bytes(b"")
    with pytest.raises(RunError, match="there is no other"):
        checkpoint.newest(tmp_path, said.append)


def test_none_at_all_is_no_error(tmp_path):
    assert checkpoint.newest(tmp_path) is None


def test_the_writer_keeps_two_and_clears_away_the_rest(tmp_path):
    writer = checkpoint.Writer(tmp_path)
    for step in range(5):
        writer.write(step, ARRAYS, STATE)
    writer.finish()
    assert [path.name for path in checkpoint.found(tmp_path)] == ["step_000000004.npz", "step_000000003.npz"]


def test_variables_are_restored_or_none_is_changed(tmp_path):
    first, second = keras.Variable(np.ones((2, 3))), keras.Variable(3, dtype="int64")
    arrays = checkpoint.capture({"model": [first], "counters": [second]})
    first.assign(np.zeros((2, 3))), second.assign(9)
    found = checkpoint.Checkpoint(tmp_path / "x", arrays, {})
    with pytest.raises(RunError, match=r"shape \(2, 3\) there and \(3, 2\) here"):
        checkpoint.restore(found, {"model": [keras.Variable(np.zeros((3, 2)))], "counters": [second]})
    with pytest.raises(RunError, match="has 2 variables, this training 1"):
        checkpoint.restore(found, {"model": [first]})
    assert (first.numpy() == 0).all()
    assert int(second.numpy()) == 9
    checkpoint.restore(found, {"model": [first], "counters": [second]})
    assert (first.numpy() == 1).all()
    assert int(second.numpy()) == 3


def test_a_value_is_the_one_at_the_moment_of_the_capture(tmp_path):
    """The writer is still busy when the next steps change the variables."""
    variable = keras.Variable(np.zeros(1000))
    arrays = checkpoint.capture({"model": [variable]})
    variable.assign_add(np.ones(1000))
    writer = checkpoint.Writer(tmp_path)
    writer.write(1, arrays, {})
    writer.finish()
    assert (checkpoint.newest(tmp_path).arrays["model/00000"] == 0).all()


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    program = textwrap.dedent(
        f"""
        import numpy as np, pathlib
        from cnnrecipes.runs import checkpoint
        folder = pathlib.Path({str(tmp_path)!r})
        writer = checkpoint.Writer(folder)
        for step in range(10_000):
            writer.write(step, {{"a": np.full(500_000, step, np.float32)}}, {{"step": step}})
            print(step, flush=True)
        """
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    random = np.random.default_rng(0)
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
        for line in process.stdout:
            if int(line) > 5:
                time.sleep(random.uniform(0, 0.05))
                process.send_signal(signal.SIGKILL)
                break
        process.communicate()
        found = checkpoint.newest(tmp_path)
        assert (found.arrays["a"] == found.state["step"]).all()
        assert found.state["step"] >= 4


def test_a_full_disk_is_said_and_the_last_one_stays(tmp_path, monkeypatch):
    said = []
    writer = checkpoint.Writer(tmp_path, said.append)
    writer.write(1, ARRAYS, STATE)
    writer.finish()
    full = type("usage", (), {"free": 100})
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda folder: full)
    writer.write(2, ARRAYS, STATE)
    assert "none is written until there is more room; the last one stays" in said[0]
    monkeypatch.undo()

    def no_room(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", no_room)
    writer.write(3, ARRAYS, STATE)
    writer.finish()
    assert "No space left on device" in said[1]
    assert [path.name for path in tmp_path.iterdir()] == ["step_000000001.npz"]
    assert checkpoint.newest(tmp_path).state == STATE


def damaged(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Every single flipped bit, every cut, and some bytes more, before or behind."""
    for bit in range(8 * len(whole)):
        place, mask = bit // 8, 1 << bit % 8
        yield f"bit {bit}", whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :]
    for size in range(len(whole)):
        yield f"cut to {size}", whole[:size]
    for extra in (b"\0", b"\n", whole[-22:], whole):
        yield f"{len(extra)} bytes more", whole + extra
        yield f"{len(extra)} bytes before", extra + whole


def test_every_flipped_bit_truncation_and_addition_is_detected(tmp_path):
    """The zip directory, the end record and the digest itself are covered too."""
    checkpoint.write(tmp_path / "whole.npz", ARRAYS, STATE)
    whole = (tmp_path / "whole.npz").read_bytes()
    accepted = []
    for what, content in damaged(whole):
        try:
            checkpoint.parse(io.BytesIO(content))
            accepted.append(what)
        except ValueError as error:
            assert "digest" in str(error)  # noqa: PT017
    assert accepted == []
    assert checkpoint.parse(io.BytesIO(whole))[1] == STATE


@pytest.mark.parametrize("place", ["directory", "digest", "name"])
def test_the_older_checkpoint_is_used_where_a_bit_of_the_newest_flipped(tmp_path, place):
    for step in (5, 10):
        checkpoint.write(tmp_path / f"step_{step:09d}.npz", ARRAYS, {**STATE, "step": step})
    newest = tmp_path / "step_000000010.npz"
    whole = newest.read_bytes()
    index = {"directory": whole.rindex(b"PK\1\2") + 10, "digest": len(whole) - 1, "name": whole.rindex(b"counters")}
    newest.write_bytes(whole[: index[place]] + bytes([whole[index[place]] ^ 4]) + whole[index[place] + 1 :])
    said = []
    assert checkpoint.newest(tmp_path, said.append).state["step"] == 5
    assert len(said) == 1
    assert "its bytes do not match its digest" in said[0]


def test_a_checkpoint_without_a_digest_is_refused_with_what_to_do(tmp_path):
    """As versions before digests wrote them."""
    np.savez(tmp_path / "step_000000010.npz", a=np.zeros(3))
    with pytest.raises(RunError, match=r"before digests.*resume it with that version.*train\.start_from"):
        checkpoint.newest(tmp_path)
