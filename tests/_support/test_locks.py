"""Locks between processes, and file systems that have none."""

from __future__ import annotations

from cnnrecipes._support.locks import NAME, locked


def test_second_holder_is_told(tmp_path):
    with locked(tmp_path / NAME) as first, locked(tmp_path / NAME) as second:
        assert (first, second) == (True, False)
    with locked(tmp_path / NAME, seconds=0.1) as again:
        assert again


def test_lock_is_released_after_an_error(tmp_path):
    try:
        with locked(tmp_path / NAME) as free:
            assert free
            raise KeyError
    except KeyError:
        pass
    with locked(tmp_path / NAME) as free:
        assert free


def test_work_goes_on_where_no_lock_can_be_made(tmp_path):
    (tmp_path / "file").touch()
    with locked(tmp_path / "file" / NAME) as free:  # not a folder: an OSError, as of a file system without locks
        assert free
