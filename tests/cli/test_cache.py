"""`cnnrecipes cache` shows and deletes what the cache folder holds."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import time
from pathlib import Path

import pytest
from rich.console import Console
from screen import Screen

import cnnrecipes as cr
from cnnrecipes.cli import result_printing


@pytest.fixture
def features(tmp_path, monkeypatch) -> Path:
    """A cache folder with two files of features, one of them not used for 40 days; returns the old one."""
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "features").mkdir(parents=True)
    new, old = (tmp_path / "cache" / "features" / f"{name * 32}.npy" for name in "ab")
    new.write_bytes(b"x" * 3 * 2**20)
    old.write_bytes(b"x" * 2**20)
    os.utime(old, (0, time.time() - 40 * 86400))
    return old


def test_contents_and_limit_are_shown(run_cli, features, monkeypatch):
    monkeypatch.setenv("CNNRECIPES_CACHE_LIMIT", "20 GiB")
    status, out, err = run_cli("cache")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == str(features.parents[1])
    assert ["features", "2", "4", "MiB", time.strftime("%Y-%m-%d")] == out.splitlines()[2].split()[:5]
    assert "above 20 GiB" in out
    _, out, _ = run_cli("cache", "features", "--unused-days", "30", "--json")
    found = json.loads(out)
    assert (found["folder"], found["features_limit"]) == (str(features.parents[1]), 20 * 2**30)
    (kind,) = found["contents"]
    assert (kind["kind"], kind["items"], kind["size"]) == ("features", 1, 2**20)


@pytest.mark.parametrize("columns", [40, 80])
def test_table_fits_the_terminal(features, monkeypatch, columns):
    text = io.StringIO()
    monkeypatch.setattr(result_printing, "out", Console(file=text, width=columns, soft_wrap=True, force_terminal=True))
    contents = [dataclasses.replace(one, items=12345) for one in cr.cache_contents()]
    result_printing.print_cache(contents, Path("cache"), 2**30)
    screen = Screen(columns)
    screen.feed(text.getvalue().replace("\n", "\r\n"))
    assert screen.overflowed == []
    assert len(screen.text()) == 2 + len(contents)
    assert "…" not in text.getvalue()


def test_what_was_shown_is_deleted_and_reported(run_cli, features):
    status, out, err = run_cli("cache", "features", "--unused-days", "30", "--clear")
    assert (status, out, err) == (0, "deleted from features: 1 item, 1 MiB\nfreed 1 MiB\n", "")
    assert [path.suffix for path in features.parent.iterdir() if path.name[0] == "a"] == [".npy"]
    _, out, _ = run_cli("cache", "--clear", "--json")
    done = json.loads(out)
    assert [one["size"] for one in done["deleted"] if one["items"]] == [3 * 2**20]
    assert done["kept"] == {}
    assert run_cli("cache", "--clear")[1] == "freed 0 KiB\n"


def test_wrong_kind_or_limit_is_one_line(run_cli, features, monkeypatch):
    status, out, err = run_cli("cache", "feature", "--clear")
    assert (status, out) == (2, "")
    assert err == "cnnrecipes: unknown kind of cached results 'feature' (did you mean features?)\n"
    monkeypatch.setenv("CNNRECIPES_CACHE_LIMIT", "20")
    status, out, err = run_cli("cache")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "CNNRECIPES_CACHE_LIMIT is '20'" in err
    assert run_cli("cache", "--clear")[0] == 0
