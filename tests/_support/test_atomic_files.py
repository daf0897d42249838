"""File writes are atomic, or raise an error that names the path and a remedy; existing output is kept."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnrecipes as cr
from cnnrecipes._support.atomic_files import check_writable, choose_output, make_folder, write_text, write_whole
from cnnrecipes.cli import app

DIGITS = ("resnet8_digits", "train.epochs=1", "optimizer.warmup=0 epochs")
COMMANDS = {
    "show-batch": ("show-batch", *DIGITS, "--output", "{}/batch.png"),
    "plot-schedule": ("plot-schedule", *DIGITS, "--output", "{}/schedule.pdf"),
    "inspect": ("inspect", "resnet8", "--folder", "{}/pictures"),
    "check-data": ("check-data", "{photos}", "--output", "{}/report"),
    "experiment": ("experiment", "plain_and_residual", "data=digits", "pixels=8", "images=60", "--workdir", "{}"),
    "fit": ("fit", *DIGITS, "--workdir", "{}/runs"),
}


def run_cli(monkeypatch, *arguments):
    """Run the command line in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["cnnrecipes", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        app.main()
    return caught.value.code or 0


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of three images."""
    root = tmp_path_factory.mktemp("data") / "photos"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40, 3), dtype=np.uint8)
    for name, some in zip(("cat", "dog"), pixels, strict=True):
        (root / name).mkdir(parents=True)
        for i, image in enumerate(some):
            Image.fromarray(image).save(root / name / f"{i}.png")
    return root


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 12 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def arguments_of(name, folder, photos):
    return [argument.format(folder, photos=photos) for argument in COMMANDS[name]]


@pytest.mark.parametrize("name", COMMANDS)
def test_path_below_a_file_is_reported_in_one_line(monkeypatch, capsys, tmp_path, photos, name):
    (tmp_path / "file").write_text("mine")
    assert run_cli(monkeypatch, *arguments_of(name, tmp_path / "file", photos)) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert str(tmp_path / "file") in said
    assert "Not a directory" in said or "File exists" in said
    assert "give another" in said
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", COMMANDS)
def test_full_disk_is_reported_in_one_line_and_leaves_no_partial_files(monkeypatch, capsys, small_disk, photos, name):
    (small_disk / "fill").write_bytes(b"0" * 12288)
    assert run_cli(monkeypatch, *arguments_of(name, small_disk, photos)) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "No space left on device" in said or "free space" in said
    assert str(small_disk) in said
    assert not list(small_disk.rglob(".*"))


def test_missing_folder_is_reported_with_a_remedy(monkeypatch, capsys, tmp_path):
    assert run_cli(monkeypatch, "show-batch", *DIGITS, "--output", tmp_path / "none" / "batch.png") == 2
    assert "No such file or directory; create the folder first" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "older")

    def fill(beside):
        beside.write_text("half")
        with open("/dev/full", "w") as full:
            full.write("x")

    with pytest.raises(cr.WriteError, match=r"table.csv': No space left on device; free some space") as caught:
        write_whole(path, fill)
    assert caught.value.errno == errno.ENOSPC
    assert isinstance(caught.value, OSError)
    assert [one.name for one in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "older"


@pytest.mark.parametrize(
    ("path", "number"),
    [("no/x.png", errno.ENOENT), ("file/x.png", errno.ENOTDIR), ("folder", errno.EISDIR)],
)
def test_unwritable_path_is_detected_before_any_work(tmp_path, path, number):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(cr.WriteError) as caught:
        check_writable(tmp_path / path)
    assert caught.value.errno == number
    assert caught.value.strerror == os.strerror(number)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
def test_folder_without_write_permission_is_named(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    for refused in (lambda: check_writable(closed / "x.png"), lambda: make_folder(closed)):
        with pytest.raises(cr.WriteError, match="closed.*Permission denied; give another path"):
            refused()


@pytest.mark.parametrize("name", ["show-batch", "plot-schedule", "inspect", "check-data"])
def test_existing_output_is_not_overwritten_without_overwrite(monkeypatch, capsys, tmp_path, photos, name):
    arguments = arguments_of(name, tmp_path, photos)
    assert run_cli(monkeypatch, *arguments) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    capsys.readouterr()
    assert run_cli(monkeypatch, *arguments) == 2
    assert "exists already; give another path, or --overwrite" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before
    assert run_cli(monkeypatch, *arguments, "--overwrite") == 0
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert all(after[path] > before[path] for path in before)


def test_default_outputs_are_numbered_and_reported(monkeypatch, capsys, tmp_path, photos):
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        assert run_cli(monkeypatch, "plot-schedule", *DIGITS) == 0
        assert run_cli(monkeypatch, "check-data", photos) == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {"schedule.png", "schedule_2.png", "schedule_3.png"}
    assert {path.name for path in (tmp_path / "check").iterdir()} == {"photos", "photos_2", "photos_3"}
    assert "wrote schedule_3.png" in capsys.readouterr().out


def test_default_output_name_keeps_its_dots(tmp_path):
    (tmp_path / "my.photos").mkdir()
    assert choose_output(None, tmp_path / "my.photos", names=("a",)).name == "my.photos_2"
    (tmp_path / "batch.png").touch()
    assert choose_output(None, tmp_path / "batch.png").name == "batch_2.png"
    assert choose_output(None, tmp_path / "batch.png", overwrite=True).name == "batch.png"


def test_dir_lists_exactly_the_public_names():
    offered = {name for name in dir(cr) if not name.startswith("_")}
    assert offered == set(cr.__all__)
    assert {"os", "sys", "Any", "annotations", "importlib"}.isdisjoint(offered)
    for name in offered:
        assert getattr(cr, name) is not None


def test_interrupted_write_leaves_the_old_file(tmp_path):
    """Holds for every BaseException, for example KeyboardInterrupt."""
    path = tmp_path / "x.bin"
    write_whole(path, lambda beside: beside.write_bytes(b"old"))

    def stopped(beside):
        beside.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, stopped)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_error_without_a_number_leaves_the_old_file(tmp_path):
    (tmp_path / "x.txt").write_text("old")

    def half(path):
        path.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "x.txt", half)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
