"""The limit of the cached features: the least recently used ones are deleted, the new ones and those in use are not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from cnnrecipes._support import cache_pruning, locks, user_cache
from cnnrecipes._support.cache_pruning import LEAST, LIMIT, SHARE, features_limit, make_room, prune_features
from cnnrecipes.errors import CacheError, CNNRecipesWarning


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder of features in an empty cache folder with a limit of 3 KiB."""
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(LIMIT, "3 KiB")
    (tmp_path / "cache" / "features").mkdir(parents=True)
    return tmp_path / "cache" / "features"


def write(folder: Path, name: str, size: int = 1024, age: float = 0) -> Path:
    """Write features that were last used `age` hours ago, and read now."""
    path = folder / f"{(name * 32)[:32]}.npy"
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time(), time.time() - 3600 * age))
    return path


def names(folder: Path) -> str:
    return "".join(sorted(path.name[0] for path in folder.glob("*.npy")))


def test_least_recently_used_features_are_deleted_above_the_limit(folder):
    for age, name in enumerate("abc"):
        write(folder, name, age=age)
    prune_features(folder / f"{'a' * 32}.npy")
    assert names(folder) == "abc"
    user_cache.mark_used(folder / f"{'c' * 32}.npy")
    prune_features(write(folder, "d"))
    assert names(folder) == "acd"
    prune_features(write(folder, "e", 2048))
    assert names(folder) == "de"


def test_features_in_use_stay_and_a_warning_tells_it_once(folder):
    with locks.marked_in_use(write(folder, "a", 2048, age=9)):
        write(folder, "b", age=5)
        with pytest.warns(CNNRecipesWarning, match=rf"in use take 4 KiB, more than the limit of 3 KiB.*{LIMIT}"):
            prune_features(write(folder, "c", 2048))
        assert names(folder) == "ac"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            prune_features(write(folder, "d"))
        assert names(folder) == "ad"
    prune_features(write(folder, "e", 2048))
    assert names(folder) == "de"


def test_features_larger_than_the_limit_are_kept_until_others_are_written(folder):
    write(folder, "a")
    with pytest.warns(CNNRecipesWarning, match="take 9 KiB, more than the limit of 3 KiB"):
        prune_features(write(folder, "b", 9 * 1024))
    assert names(folder) == "b"
    prune_features(write(folder, "c"))
    assert names(folder) == "c"


def test_several_processes_that_prune_at_once_delete_no_more_than_one_would(folder):
    written = [write(folder, f"{age:02x}", 512, age) for age in range(40)]
    code = "import sys; from pathlib import Path; from cnnrecipes._support.cache_pruning import prune_features; "
    code += "print(flush=True); sys.stdin.read(); prune_features(Path(sys.argv[1]))"
    command = [sys.executable, "-W", "error", "-c", code, str(written[0])]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.close()
    assert [process.wait() for process in processes] == [0] * 4
    for process in processes:
        process.stdout.close()
    assert sorted(folder.glob("*.npy")) == written[:6]


def test_room_is_made_only_if_the_features_have_enough(folder):
    for age, name in enumerate("abc"):
        write(folder, name, age=age)
    make_room(4000)
    make_room(-5)
    assert names(folder) == "abc"
    make_room(1500)
    assert names(folder) == "a"


def test_default_limit_is_a_share_of_the_disk_that_is_free_without_the_features(folder, monkeypatch):
    monkeypatch.delenv(LIMIT)
    big = folder / f"{'a' * 32}.npy"
    for free, used, limit in ((10**12, 0, 10**11), (9 * 10**11, 10**11, 10**11), (1000, 0, LEAST)):
        with big.open("wb") as file:
            file.truncate(used)  # takes no disk space
        monkeypatch.setattr(cache_pruning.shutil, "disk_usage", lambda _, free=free: type("usage", (), {"free": free}))
        assert features_limit() == limit
    monkeypatch.undo()
    assert features_limit() >= LEAST
    assert SHARE < 0.5


@pytest.mark.parametrize("text", ["20", "a lot", "0 GiB", "-1 GiB", "5%"])
def test_limit_that_is_no_size_is_an_error_that_names_it(folder, monkeypatch, text):
    monkeypatch.setenv(LIMIT, text)
    with pytest.raises(CacheError, match=rf"CNNRECIPES_CACHE_LIMIT is '{text}', .* set it to a number with its unit"):
        features_limit()
    monkeypatch.setenv(LIMIT, "")
    assert features_limit() >= LEAST
