"""What `cnnrecipes cache` counts and deletes: what this package has written and no process uses, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnnrecipes as cr
from cnnrecipes._support import user_cache
from cnnrecipes._support.cache_contents import IN_USE, KINDS
from cnnrecipes.errors import CacheError, UnknownNameError

A, B, C = (digit * 32 for digit in "abc")
DAY = 86400


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A cache folder with one item of each kind, of 1000 bytes and more."""
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "cache"))
    for kind, ending in (("features", "npy"), ("records", "npz"), ("statistics", "json")):
        write(tmp_path / "cache" / kind / f"{A}.{ending}")
    archive(tmp_path / "cache" / "archives" / A)
    with user_cache.table("files-2", ["value"]) as table:
        table.put({str(number): ("x" * 100,) for number in range(1000)})
    return tmp_path / "cache"


def write(path: Path, size: int = 1000, days: float = 0) -> Path:
    """Write a file that was last used so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time(), time.time() - days * DAY))  # read now: only the modification time is of the last use
    return path


def archive(path: Path) -> Path:
    write(path / "files" / "cats" / "1.png")
    (path / "manifest.json").write_text(json.dumps({"archive": "cats.zip", "files": 1, "bytes": 1000}))
    return path


def files(folder: Path) -> set[str]:
    """Paths of the files below a folder, without lock files."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def items(kinds=(), **options) -> dict[str, int]:
    return {one.kind: one.items for one in cr.cache_contents(kinds, **options)}


@pytest.fixture
def other_process(folder) -> Iterator:
    """Start a program that runs after `from cnnrecipes._support import ...`, and then waits; kill it at the end."""
    started = []

    def start(program: str) -> subprocess.Popen:
        code = "import sys; from pathlib import Path; from cnnrecipes._support import locks, user_cache; "
        code += program + "; print('ready', flush=True); sys.stdin.read()"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([sys.executable, "-c", code], cwd=folder, **pipes))
        assert started[-1].stdout.readline() == "ready\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_contents_are_number_size_and_last_use_by_kind(folder):
    write(folder / "features" / f"{B}.npy", 500, days=2)
    found = {one.kind: one for one in cr.cache_contents()}
    assert list(found) == list(KINDS)
    assert (found["features"].items, found["features"].size) == (2, 1500)
    assert (found["archives"].items, found["archives"].size) == (
        1,
        1000 + (folder / "archives" / A / "manifest.json").stat().st_size,
    )
    assert found["tables"].size == (folder / "files-2.sqlite").stat().st_size
    assert all(abs(one.last_used.timestamp() - time.time()) < 100 for one in found.values())
    (old,) = cr.cache_contents(["features"], unused_days=1)
    assert (old.items, old.size) == (1, 500)
    assert 1.9 * DAY < time.time() - old.last_used.timestamp() < 2.1 * DAY


def test_empty_or_unusable_folder_has_nothing(tmp_path, monkeypatch):
    for folder in (tmp_path / "missing", write(tmp_path / "file")):
        monkeypatch.setenv("CNNRECIPES_CACHE", str(folder))
        assert set(items().values()) == {0}
        assert cr.clear_cache().kept == {}
    assert (tmp_path / "file").exists()


def test_clearing_deletes_all_and_reports_it(folder):
    before = {one.kind: one.size for one in cr.cache_contents()}
    done = cr.clear_cache()
    assert {one.kind: one.items for one in done.deleted} == dict.fromkeys(KINDS, 1)
    left = (folder / "files-2.sqlite").stat().st_size
    assert {one.kind: one.size for one in done.deleted} == {**before, "tables": before["tables"] - left}
    assert left < 0.2 * before["tables"]
    assert not done.kept
    assert files(folder) == {"files-2.sqlite"}


def test_only_the_given_kinds_and_what_is_unused_for_the_days_are_deleted(folder):
    write(folder / "features" / f"{B}.npy", days=40)
    write(folder / "statistics" / f"{B}.json", days=40)
    before = files(folder)
    cr.clear_cache(["features"], unused_days=30)
    assert before - files(folder) == {f"features/{B}.npy"}
    cr.clear_cache(["statistics", "features"])
    assert files(folder) == {name for name in before if not name.startswith(("features", "statistics"))}


def test_files_of_others_and_links_stay(folder, tmp_path):
    """As if the cache folder were the home folder."""
    mine = write(tmp_path / "mine" / f"{B}.npy")
    write(tmp_path / "mine" / "files" / "1.png")
    others = [
        write(folder / "thesis.txt"),
        write(folder / "photos.sqlite"),
        write(folder / "archives-9.sqlite"),  # our name, and no table of ours
        write(folder / f"{A}.npy"),
        write(folder / "features" / "embedding.npy"),
        write(folder / "features" / f"{A}.npy.bak"),
        write(folder / "features" / A / "1.npy"),
        write(folder / "statistics" / "2026.json"),
        write(folder / "archives" / "thesis.zip"),
        write(folder / "archives" / B / "files" / "1.txt"),  # without a manifest
        write(folder / "archives" / A / "notes.txt"),
    ]
    (folder / "features" / f"{C}.npy").symlink_to(mine)
    (folder / "archives" / C).symlink_to(tmp_path / "mine")
    (folder / "archives" / A / "files" / "link").symlink_to(tmp_path / "mine")
    for path in (folder / "records").iterdir():
        path.unlink()
    (folder / "records").rmdir()
    write(tmp_path / "mine" / f"{B}.npz")
    (folder / "records").symlink_to(tmp_path / "mine")
    assert items() == {"features": 1, "archives": 1, "records": 0, "statistics": 1, "tables": 2}
    done = cr.clear_cache()
    assert list(done.kept) == [folder / "archives-9.sqlite"]
    assert all(path.is_file() for path in others)
    assert files(tmp_path / "mine") == {f"{B}.npy", f"{B}.npz", "files/1.png"}
    assert (folder / "features" / f"{C}.npy").is_symlink()
    assert not (folder / "archives" / A / "files").exists()


def test_features_and_archives_that_another_process_reads_stay(folder, other_process):
    archive(folder / "archives" / B)
    process = other_process(
        f"a = locks.marked_in_use(Path('features/{A}.npy')); "
        f"b = locks.marked_in_use(Path('archives/{A}/manifest.json'))"
    )
    done = cr.clear_cache(["features", "archives"])
    assert done.kept == {folder / "features" / f"{A}.npy": IN_USE, folder / "archives" / A: IN_USE}
    assert files(folder / "archives") == {f"{A}/manifest.json", f"{A}/files/cats/1.png"}
    process.kill()
    process.wait()
    assert not cr.clear_cache(["features", "archives"]).kept
    assert not files(folder / "features") | files(folder / "archives")


def test_temporary_files_stay_until_their_process_has_ended(folder, other_process):
    temporary = write(folder / "features" / f".123.{B}.npy")
    partial = write(folder / "archives" / f"{B}.partial-a1_b2c3d" / "download").parent
    process = other_process(
        f"a = locks.locked(Path('features/{B}.lock')); b = locks.locked(Path('archives/{B}.lock')); "
        "assert a.__enter__(); assert b.__enter__()"
    )
    assert set(cr.clear_cache().kept.items()) == {(temporary, IN_USE), (partial, IN_USE)}
    process.kill()
    process.wait()
    assert not cr.clear_cache().kept
    assert not temporary.exists()
    assert not partial.exists()


def test_emptied_table_serves_the_process_that_has_it_open(folder):
    with user_cache.table("files-2", ["value"]) as table:
        assert table.find(["7"])
        cr.clear_cache(["tables"])
        assert not table.find(["7"])
        table.put({"7": ("new",)})
        assert table.find(["7"]) == {"7": ("new",)}


def test_table_that_another_process_writes_stays(folder, other_process):
    other_process(f"d = user_cache.sqlite3.connect({str(folder / 'files-2.sqlite')!r}); d.execute('BEGIN IMMEDIATE')")
    assert cr.clear_cache(["tables"]).kept == {folder / "files-2.sqlite": "database is locked"}
    with user_cache.table("files-2", ["value"]) as table:
        assert table.find(["7"])


def test_invalid_kind_or_age_is_refused_before_anything_is_deleted(folder):
    before = files(folder)
    with pytest.raises(UnknownNameError, match="unknown kind of cached results 'feature'.*features"):
        cr.clear_cache(["archives", "feature"])
    for days in (-1.0, float("nan")):
        with pytest.raises(CacheError, match="number of days without a use is"):
            cr.clear_cache(unused_days=days)
    assert files(folder) == before


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions of POSIX")
def test_reason_is_told_where_permission_is_missing(folder):
    item = folder / "statistics" / f"{A}.json"
    for path in (folder, *folder.parents) if os.geteuid() == 0 else ():  # another user tries
        if path.owner() == "root" and not path.stat().st_mode & 0o001:
            path.chmod(0o755)
    item.parent.chmod(0o555)
    user = os.geteuid()
    try:
        os.seteuid(user or 65534)
        assert cr.clear_cache(["statistics"]).kept == {item: "Permission denied"}
    finally:
        os.seteuid(user)
        item.parent.chmod(0o755)
    assert item.exists()
