"""`check_data`: damaged data sets, duplicates, leaking groups, the report, and agreement with `fit`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.sparse.csgraph import connected_components

import cnnrecipes as cr
from cnnrecipes._support import user_cache
from cnnrecipes.cli.app import app
from cnnrecipes.data.audit import duplicates, file_info
from cnnrecipes.data.audit.checks import DataFinding
from cnnrecipes.data.audit.report import Report
from cnnrecipes.errors import DataError, UnknownNameError


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CNNRECIPES_CACHE", str(folder))
    return folder


@pytest.fixture
def photos(flowers, tmp_path):
    """Two classes of 12 photos in train, two of 4 in val."""
    root = tmp_path / "my photos ü"
    for name in ("rose", "tulip"):
        files = sorted((flowers / name).glob("*.jpg"))
        for split, some in (("train", files[:12]), ("val", files[12:16])):
            for i, file in enumerate(some):
                target = root / split / name / f"{i:02}.jpg"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    return root


def damage(root):
    """Damage a copy of a data set in more than ten ways; return the files that are then unreadable."""
    rose, tulip = root / "train" / "rose", root / "train" / "tulip"
    whole = (rose / "00.jpg").read_bytes()
    (rose / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (rose / "empty.jpg").write_bytes(b"")
    (rose / "page.jpg").write_text("<!DOCTYPE html><html>404</html>")
    at = whole.index(b"\xff\xc0") + 5
    (rose / "bomb.jpg").write_bytes(whole[:at] + struct.pack(">HH", 65_000, 65_000) + whole[at + 4 :])
    (rose / "new\nline.jpg").write_bytes(whole[:-500])
    photo = Image.open(rose / "01.jpg").convert("RGB")
    photo.save(tulip / "really png.jpg", "PNG")
    photo.convert("CMYK").save(tulip / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(rose / "02.jpg").save(rose / "turned.jpg", exif=exif)
    Image.open(rose / "02.jpg").convert("RGB").resize((300, 300)).save(tulip / "copy.jpg", quality=60)
    photo.resize((20, 20)).save(rose / "tiny.png")
    Image.new("RGB", (128, 128), "white").save(rose / "white.png")
    shutil.copy(tulip / "05.jpg", root / "val" / "tulip" / "leak.jpg")
    (rose / "notes.txt").write_text("mine")
    (root / "train" / "loose.jpg").write_bytes(whole)
    (tulip / "loop").symlink_to(root)
    bad = ["cut", "empty", "page", "bomb", "new\nline"]
    if os.geteuid() != 0:  # root can read every file
        shutil.copy(rose / "03.jpg", rose / "secret.jpg")
        (rose / "secret.jpg").chmod(0)
        bad.append("secret")
    return {str(rose / f"{name}.jpg") for name in bad}


def state(root):
    """Size and modification time of every file."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(root.rglob("*"))}


def test_check_data_finds_all_problems_and_changes_no_file(photos, tmp_path):
    bad = damage(photos)
    before = state(photos)
    report = cr.check_data(photos)
    kinds = {finding.kind: {os.path.basename(file) for file in finding.files} for finding in report.findings}
    assert set(report.unreadable) == bad
    assert kinds["wrong extension"] == {"really png.jpg"}
    assert kinds["tiny"] == {"tiny.png"}
    assert kinds["one color"] == {"white.png"}
    assert kinds["mode CMYK"] == {"cmyk.jpg"}
    assert kinds["turned"] == {"turned.jpg"}
    assert kinds["other files"] == {"notes.txt"}
    assert kinds["outside classes"] == {"loose.jpg"}
    assert kinds["copies across splits"] == {"05.jpg", "leak.jpg"}
    assert {"02.jpg", "copy.jpg"} <= kinds["near copies in different classes"]
    assert "copies in different classes" not in kinds  # a file outside the classes has no class
    (leak,) = [finding for finding in report.findings if finding.kind == "copies across splits"]
    ((first, second),) = leak.groups
    assert (os.path.basename(first.file), first.split, first.label) == ("05.jpg", "train", "tulip")
    assert (os.path.basename(second.file), second.split, second.label) == ("leak.jpg", "validation", "tulip")
    assert report.trainable
    assert report.counts.loc["tulip"].tolist() == [15, 5]
    files = report.save(tmp_path / "out")
    assert state(photos) == before
    lines = (tmp_path / "out" / "quarantine.txt").read_text().splitlines()
    assert {json.loads(line.split("\t")[0]) for line in lines} == bad
    assert json.loads((tmp_path / "out" / "report.json").read_text())["trainable"] is True
    text = files[-1].read_text()
    assert "65000 x 65000" in text
    assert "http" not in re.sub(r"base64,[^']*", "", text)


def test_fit_quarantines_unreadable_files_and_reports_them(photos, tmp_path, capsys):
    bad = damage(photos)
    before = state(photos)
    changes = {"data.image_size": 16, "data.batch_size": 8, "model.name": "resnet8", "train.epochs": 1}
    run = cr.fit(
        "photos_from_scratch", data=photos, workdir=tmp_path / "runs", **changes, **{"optimizer.warmup": "0 epochs"}
    )
    assert f"{len(bad)} files cannot be read and are left out" in capsys.readouterr().out
    lines = (run.folder / "quarantine.txt").read_text().splitlines()
    assert {json.loads(line.split("\t")[0]) for line in lines} == bad
    assert run.metrics["validation"]["n"] == 9
    assert state(photos) == before


def test_class_without_readable_images_is_not_trainable(photos, tmp_path):
    for file in (photos / "train" / "rose").iterdir():
        file.write_bytes(file.read_bytes()[:200])
    report = cr.check_data(photos)
    assert not report.trainable
    assert "no training image of class 'rose'" in report.findings[0].message
    with pytest.raises(DataError, match="no training image of class 'rose'.*12 files cannot be read"):
        cr.fit("photos_from_scratch", data=photos, workdir=tmp_path, progress=False, **{"data.image_size": 16})


def test_unreadable_validation_split_is_not_trainable(photos, tmp_path):
    for file in (photos / "val").rglob("*.jpg"):
        file.write_bytes(file.read_bytes()[:200])
    report = cr.check_data(photos)
    assert not report.trainable
    assert "none of the 8 validation images can be read" in report.findings[0].message
    with pytest.raises(DataError, match="none of the 8 validation images can be read.*jpg"):
        cr.fit("photos_from_scratch", data=photos, workdir=tmp_path, progress=False, **{"data.image_size": 16})


def test_all_blocking_problems_are_reported_together(photos):
    for file in (photos / "train" / "rose").iterdir():
        file.write_bytes(b"")
    shutil.copytree(photos / "val" / "tulip", photos / "val" / "lily")
    messages = " ".join(
        finding.message for finding in cr.check_data(photos).findings if finding.kind == "not trainable"
    )
    assert "no training image of class 'rose'" in messages
    assert "val/lily' is a class that train does not have" in messages


def test_symlinked_class_is_accepted_inside_the_data_set_only(photos, tmp_path):
    (photos / "train" / "rose").rename(photos / ".pool")
    (photos / "train" / "rose").symlink_to(photos / ".pool")
    report = cr.check_data(photos)
    assert report.trainable
    assert report.counts.loc["rose"].tolist() == [12, 4]
    (photos / ".pool").rename(tmp_path / "elsewhere")
    (photos / "train" / "rose").unlink()
    (photos / "train" / "rose").symlink_to(tmp_path / "elsewhere")
    report = cr.check_data(photos)
    assert not report.trainable
    assert "out of the data set" in str(report.findings)
    with pytest.raises(DataError, match="val/rose' is a class that train does not have"):
        cr.fit("photos_from_scratch", data=photos, workdir=tmp_path, progress=False, **{"data.image_size": 16})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_folder_without_read_permission_is_reported(photos, tmp_path):
    closed = photos / "train" / "rose"
    closed.chmod(0)
    try:
        report = cr.check_data(photos)
        assert f"cannot read '{closed}': Permission denied" in report.findings[0].message
        with pytest.raises(DataError, match="cannot read.*rose.*Permission denied"):
            cr.fit("photos_from_scratch", data=photos, workdir=tmp_path, progress=False, **{"data.image_size": 16})
    finally:
        closed.chmod(0o755)


HOLD = """
import sqlite3, sys, time
holder = sqlite3.connect(sys.argv[1])
holder.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextlib.contextmanager
def locked_by_another_process(database, seconds):
    """Another process holds an exclusive lock on the cache's database within the context, or for the given seconds."""
    command = [sys.executable, "-c", HOLD, str(database), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        yield
        holder.kill()


def test_briefly_locked_cache_is_waited_for(photos, own_cache):
    files = sorted(map(str, (photos / "val").rglob("*.jpg")))
    first = list(file_info.inspect_files(files[:1]))
    with locked_by_another_process(own_cache / "files-2.sqlite", 1):
        found = list(file_info.inspect_files(files))
    assert found[:1] == first
    with user_cache.table("files-2", [field.name for field in dataclasses.fields(file_info.FileInfo)][1:]) as known:
        assert set(known.find(files)) == set(files)  # results found meanwhile are stored, too


def test_permanently_locked_cache_is_skipped_and_unchanged(photos, own_cache, monkeypatch):
    """The timeout applies once, not for every group of files."""
    files = sorted(map(str, (photos / "val").rglob("*.jpg")))
    list(file_info.inspect_files(files))
    before = (own_cache / "files-2.sqlite").read_bytes()
    monkeypatch.setattr(user_cache, "PATIENCE", 0.2)
    monkeypatch.setattr(file_info, "_CHUNK", 1)
    with (
        locked_by_another_process(own_cache / "files-2.sqlite", 60),
        pytest.warns(cr.CNNRecipesWarning, match="locked by another process.*not used") as told,
    ):
        assert [one.error for one in file_info.inspect_files(files)] == [""] * 8
    assert len(told) == 1
    assert (own_cache / "files-2.sqlite").read_bytes() == before
    monkeypatch.setattr(file_info, "describe", lambda *args, **kwargs: pytest.fail("looked again"))
    assert [one.error for one in file_info.inspect_files(files)] == [""] * 8


def test_concurrent_repair_of_a_damaged_cache_loses_no_entries(own_cache):
    """No process deletes what another one has written."""
    for attempt in range(10):
        (own_cache / f"t{attempt}.sqlite").write_bytes(b"no database" * 500)
        together = threading.Barrier(8)

        def write(i, attempt=attempt, together=together):
            together.wait()
            with user_cache.table(f"t{attempt}", ["value"]) as table:
                table.put({str(i): (i,)})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        with user_cache.table(f"t{attempt}", ["value"]) as table:
            assert table.find([str(i) for i in range(8)]) == {str(i): (i,) for i in range(8)}


def test_cache_of_another_version_is_emptied_in_place(own_cache):
    """Another process may have the file open."""
    with user_cache.table("some", ["a", "b"]) as table:
        table.put({"x": (1, 2)})
    inode = (own_cache / "some.sqlite").stat().st_ino
    with user_cache.table("some", ["a", "c"]) as table:
        assert table.find(["x"]) == {}
        table.put({"x": (3, 4)})
        assert table.find(["x"]) == {"x": (3, 4)}
    assert (own_cache / "some.sqlite").stat().st_ino == inode


def test_unchanged_files_are_inspected_once(photos, monkeypatch):
    files = sorted(map(str, (photos / "train").rglob("*.jpg")))
    first = list(file_info.inspect_files(files))
    monkeypatch.setattr(file_info, "describe", lambda *args, **kwargs: pytest.fail("looked again"))
    assert list(file_info.inspect_files(files)) == first
    monkeypatch.undo()
    monkeypatch.setenv("CNNRECIPES_CACHE", str(user_cache.folder()))


def test_changed_file_is_inspected_again(photos):
    file = photos / "train" / "rose" / "00.jpg"
    (before,) = file_info.inspect_files([str(file)])
    file.write_bytes(file.read_bytes()[:300])
    (after,) = file_info.inspect_files([str(file)])
    assert not before.error
    assert after.error


@pytest.mark.parametrize("trouble", ["damaged", "unwritable", "other version"])
def test_unusable_cache_is_skipped(photos, own_cache, monkeypatch, trouble):
    if trouble == "damaged":
        (own_cache / "files-2.sqlite").write_bytes(b"no database" * 500)
    elif trouble == "other version":
        with user_cache.table("files-2", ["a", "b"]) as table:
            table.put({"x": (1, 2)})
    else:
        (own_cache / "file").write_text("")
        monkeypatch.setenv("CNNRECIPES_CACHE", str(own_cache / "file" / "below"))
    files = sorted(map(str, (photos / "val").rglob("*.jpg")))
    assert [one.error for one in file_info.inspect_files(files)] == [""] * 8


def test_missing_file_is_reported(photos):
    gone = str(photos / "train" / "rose" / "00.jpg")
    os.unlink(gone)
    (found,) = file_info.inspect_files([gone])
    assert found.error == "No such file or directory"


def test_named_pipe_is_reported_as_not_a_regular_file(photos):
    pipe = photos / "train" / "rose" / "pipe.jpg"
    os.mkfifo(pipe)
    (found,) = file_info.inspect_files([str(pipe)])
    assert found.error == "not a regular file"


def test_report_is_never_written_into_the_data_set(photos, monkeypatch):
    before = state(photos)
    monkeypatch.chdir(photos)
    for data, output in ((".", "check/photos"), (photos, photos / "train" / "out")):
        with pytest.raises(DataError, match="lies in the data set itself"):
            cr.check_data(data).save(output)
    assert state(photos) == before


def _refused(photos, tmp_path, words):
    """Both `check_data` and `fit` refuse the data, with the same message."""
    report = cr.check_data(photos, progress=False)
    assert not report.trainable
    messages = [finding.message for finding in report.findings if finding.kind == "not trainable"]
    with pytest.raises(DataError, match=words):
        cr.fit("photos_from_scratch", data=photos, workdir=tmp_path / "runs", progress=False, **{"data.image_size": 16})
    assert len(messages) == 1
    assert re.search(words, messages[0])
    assert not (tmp_path / "runs").exists()


def test_copies_of_every_image_in_another_class_are_refused(photos, tmp_path):
    for split in ("train", "val"):
        shutil.rmtree(photos / split / "tulip")
        shutil.copytree(photos / split / "rose", photos / split / "tulip")
    _refused(photos, tmp_path, "every image has a copy in another class, for example .*rose.*tulip")


def test_table_of_missing_files_is_refused(photos, tmp_path):
    rows = [
        f"{'gone' if name == 'rose' else 'train'}/{name}/{i:02}.jpg,{name}"
        for name in ("rose", "tulip")
        for i in range(12)
    ]
    (photos / "t.csv").write_text("path,label\n" + "\n".join(rows))
    _refused(photos / "t.csv", tmp_path, "no training image of class 'rose'.*1[12] files cannot be read.*No such file")


def test_ambiguous_layout_is_refused_until_the_layout_is_given(photos, tmp_path):
    (photos / "train").rename(photos / "one")
    (photos / "val").rename(photos / "two")
    _refused(photos, tmp_path, "one, two in .* hold the same sub-folders")
    assert cr.check_data(photos, layout="classes").counts["train"].to_dict() == {"one": 24, "two": 8}


def test_unknown_layout_suggests_the_nearest(photos):
    with pytest.raises(UnknownNameError, match="unknown layout 'class' .did you mean classes"):
        cr.check_data(photos, layout="class")


def test_ignored_files_are_reported(photos):
    (photos / "train" / "rose" / "raw.cr2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    (photos / "__MACOSX").mkdir()
    (photos / "test").mkdir()
    found = {finding.kind: finding.severity for finding in cr.check_data(photos).findings}
    assert found["other kinds"] == found["unlabeled"] == "warning"
    assert found["system files"] == "note"


@pytest.fixture
def copied(photos):
    """One image three times in two classes and splits, another twice in one class, and a third recompressed."""
    for source, target in (
        ("train/rose/00", "train/tulip/x"),
        ("train/rose/00", "val/tulip/y"),
        ("train/rose/01", "train/rose/z"),
    ):
        shutil.copy(photos / f"{source}.jpg", photos / f"{target}.jpg")
    Image.open(photos / "train" / "rose" / "02.jpg").save(photos / "val" / "rose" / "near.jpg", quality=60)
    return photos


COPIES = [
    ("copies in different classes", [["rose/00 train rose", "tulip/x train tulip", "tulip/y validation tulip"]]),
    ("near copies across splits", [["rose/02 train rose", "rose/near validation rose"]]),
    ("copies in one class", [["rose/01 train rose", "rose/z train rose"]]),
]


def test_duplicates_are_listed_in_groups_with_split_and_class(copied, tmp_path):
    report = cr.check_data(copied)
    found = json.loads(report.to_json())["findings"]
    groups = [(one["kind"], one["groups"]) for one in found if "copies" in one["kind"]]
    short = lambda one: f"{one['file'][len(str(copied)) :].split('/', 2)[2][:-4]} {one['split']} {one['class']}"  # noqa: E731
    assert [(kind, [[short(one) for one in group] for group in some]) for kind, some in groups] == COPIES
    page = report.save(tmp_path / "out")[-1].read_text()
    section = page[page.index("copies in different classes") : page.index("near copies across splits")]
    assert section.index("train, rose") < section.index("train, tulip") < section.index("validation, tulip")
    assert section.count("<figure ") == 3


def test_command_prints_duplicates_in_groups(copied, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert app(["check-data", str(copied)], standalone_mode=False) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if "1 group of copies in different classes" in line)
    rows = [re.split(r"  +", line.strip(), maxsplit=2) for line in lines[start + 1 : start + 4]]
    assert [row[:2] for row in rows] == [["train", "rose"], ["train", "tulip"], ["validation", "tulip"]]
    assert [row[2] for row in rows] == ["'train/rose/00.jpg'", "'train/tulip/x.jpg'", "'val/tulip/y.jpg'"]
    assert f"files below are in {copied}" in lines


def test_files_of_an_archive_are_named_by_their_path_in_it(copied, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    archive = shutil.make_archive(tmp_path / "photos", "zip", copied.parent, copied.name)
    report = cr.check_data(archive, progress=False)
    files = [file for finding in report.findings for file in finding.files]
    assert {report.short(file).split("/")[0] for file in files} <= {"train", "val"}
    assert all(os.path.isfile(file) for file in files)


def test_long_lists_are_cut_in_the_terminal_and_complete_in_json(photos, tmp_path, monkeypatch, capsys):
    for i in range(6):
        for copy in range(1 if i else 9):
            shutil.copy(photos / "train" / "rose" / f"{i:02}.jpg", photos / "train" / "rose" / f"copy{copy}_{i}.jpg")
    monkeypatch.chdir(tmp_path)
    assert app(["check-data", str(photos)], standalone_mode=False) == 0
    out = capsys.readouterr().out
    assert "and 5 more in this group" in out
    assert "and 3 more groups, in report.json" in out
    (report,) = (tmp_path / "check").rglob("report.json")
    (found,) = [one for one in json.loads(report.read_text())["findings"] if one["kind"] == "copies in one class"]
    assert [len(group) for group in found["groups"]] == [10, 2, 2, 2, 2, 2]


def test_report_repr_and_html_show_verdict_counts_and_findings(copied):
    report = cr.check_data(copied)
    lines = repr(report).splitlines()
    assert lines[0] == f"Check of {copied}: training may go on"
    assert lines[1].split() == ["train", "validation"]
    assert [line.split() for line in lines[2:4]] == [["rose", "13", "5"], ["tulip", "13", "5"]]
    assert any(line.startswith("error    1 group of copies in different classes") for line in lines)
    assert len(lines) < 15
    html = report._repr_html_()
    assert "training may go on" in html
    assert f"files in {copied}" in html
    assert "<br>train/tulip/x.jpg (train, tulip)" in html
    assert "<th>validation</th>" in html
    assert "1 group of copies in different classes" in html
    assert "<html" not in html


def test_report_of_many_classes_is_short_and_escapes_names():
    counts = pd.DataFrame({"train": 1}, index=[f"c{i}" for i in range(2998)] + ["<b>", "\x1b[31m"])
    finding = DataFinding("warning", "odd", "<script> \x1b[2J \udcff", ("a",))
    report = Report("<i>\n", False, counts[::-1], (finding,), {})
    assert len(repr(report).splitlines()) < 40
    assert "2,980 more classes" in repr(report)
    assert "training may not go on" in repr(report)
    for text in (repr(report), report._repr_html_()):
        assert "\x1b" not in text
        text.encode()
    assert not re.search("<(script|i|b)>", report._repr_html_().replace("<b>Check of", ""))


def test_groups_in_two_splits_are_reported_as_leaking(photos):
    report = cr.check_data(photos, groups=lambda path: os.path.basename(path)[:2])
    (leak,) = [finding for finding in report.findings if finding.kind == "leaking groups"]
    assert leak.message.startswith("4 groups in two splits")
    assert {(one.split, one.label) for group in leak.groups for one in group} == {
        (split, name) for split in ("train", "validation") for name in ("rose", "tulip")
    }


def test_arrays_with_every_image_in_two_classes_are_refused(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (10, 40, 40, 3), dtype=np.uint8)
    twice = (np.concatenate([images, images]), np.repeat([0, 1], 10))
    _refused(twice, tmp_path, r"'image 0' \(0\) and 'image 10' \(1\)")


def test_arrays_are_checked_for_duplicates_and_constant_images():
    images = np.random.default_rng(0).integers(0, 256, (20, 40, 40, 3), dtype=np.uint8)
    images[3], images[7] = images[12], 9
    report = cr.check_data((images, np.arange(20) % 2))
    kinds = {finding.kind: finding.files for finding in report.findings}
    assert kinds["copies in different classes"] == ("train[3]", "train[12]")
    assert kinds["one color"] == ("train[7]",)
    assert report.counts["train"].tolist() == [10, 10]


def hexadecimal(bits):
    return [np.packbits(row).tobytes().hex() for row in bits]


def by_all_pairs(bits):
    """Reference: the groups found by comparing every pair."""
    close = (bits[:, None] != bits[None]).sum(2) <= duplicates.NEAR
    _, labels = connected_components(close)
    groups = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    return sorted(group for group in groups if len(group) > 1)


def planted(random):
    """Random hashes, and copies of some with up to 9 bits changed."""
    bits = random.integers(0, 2, (600, 128)).astype(np.uint8)
    copies = bits[random.integers(0, 600, 300)].copy()
    for copy in copies:
        copy[random.choice(128, random.integers(0, 10), replace=False)] ^= 1
    return random.permutation(np.concatenate([bits, copies]))


def video(random):
    """Frames that each differ from the previous one in 4 bits: long chains."""
    flips = np.zeros((800, 128), np.uint8)
    for flip in flips:
        flip[random.choice(128, 4, replace=False)] = 1
    return (random.integers(0, 2, 128) + flips.cumsum(0)).astype(np.uint8) % 2


def around(random):
    """Hashes 4 bits from an absent center: about every second pair is near."""
    bits = np.repeat(random.integers(0, 2, (1, 128)).astype(np.uint8), 900, axis=0)
    for row in bits:
        row[random.choice(128, 4, replace=False)] ^= 1
    return bits


def sparse_around(random):
    """Hashes 7 bits from an absent center, which share long bands while few pairs are near."""
    bits = np.repeat(random.integers(0, 2, (1, 128)).astype(np.uint8), 900, axis=0)
    for row in bits:
        row[random.choice(128, 7, replace=False)] ^= 1
    return bits


def two_bands(random):
    """Two bands that all hashes share, and random bits: the largest possible buckets, and few pairs are near."""
    bits = random.integers(0, 2, (700, 128)).astype(np.uint8)
    bits[:, :32] = bits[0, :32]
    bits[600:] = bits[:100]
    bits[600:, 40:46] ^= 1
    return bits


@pytest.mark.parametrize("looks", [planted, video, around, sparse_around, two_bands])
@pytest.mark.parametrize("seed", [0, 1])
def test_near_duplicates_equal_those_of_comparing_all_pairs(looks, seed):
    bits = looks(np.random.default_rng(seed))
    bits = bits[(bits.sum(1) >= 12) & (bits.sum(1) <= 116)]
    assert sorted(duplicates.near(hexadecimal(bits))) == by_all_pairs(bits)


def test_tens_of_thousands_of_near_duplicates_form_one_group():
    """Of 20,000 frames there are 200 million pairs, most of them near."""
    random = np.random.default_rng(3)
    bits = np.repeat(random.integers(0, 2, (1, 128)).astype(np.uint8), 20_000, axis=0)
    bits[np.arange(20_000)[:, None], random.integers(0, 128, (20_000, 3))] ^= 1
    assert duplicates.near(hexadecimal(bits)) == [list(range(20_000))]


def test_near_duplicates_differ_in_at_most_the_threshold_of_bits():
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (300, 128)).astype(np.uint8)
    for i, flips in enumerate((0, 3, duplicates.NEAR, duplicates.NEAR + 1)):
        bits[100 + i] = bits[i]
        bits[100 + i, random.choice(128, flips, replace=False)] ^= 1
    assert duplicates.near(hexadecimal(bits)) == [[0, 100], [1, 101], [2, 102]]


def test_thousands_of_near_duplicates_form_one_group():
    """Like the frames of a video; comparing every pair would take millions of comparisons."""
    random = np.random.default_rng(1)
    bits = np.repeat(random.integers(0, 2, (1, 128)).astype(np.uint8), 5000, axis=0)
    bits[np.arange(5000), random.integers(0, 128, 5000)] ^= 1
    assert duplicates.near(hexadecimal(bits)) == [list(range(5000))]


def test_hashes_that_share_only_one_band_are_not_near():
    bits = np.random.default_rng(2).integers(0, 2, (20_000, 128)).astype(np.uint8)
    bits[:, :16] = bits[0, :16]
    bits[19_999] = bits[0]
    assert duplicates.near(hexadecimal(bits)) == [[0, 19_999]]


@pytest.mark.parametrize(("name", "status"), [("photos", 0), ("one", 1)])
def test_exit_status_is_one_if_not_trainable(photos, tmp_path, name, status):
    if name == "one":
        shutil.rmtree(photos / "train" / "rose")
        shutil.rmtree(photos / "val")
    command = [sys.executable, "-c", "from cnnrecipes.cli.app import main; main()"]
    result = subprocess.run(
        [*command, "check-data", str(photos), "--output", str(tmp_path / "out"), "--json"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == status, result.stderr
    assert json.loads(result.stdout)["trainable"] == (status == 0)


def test_html_report_shows_each_file_once_with_all_findings(photos, tmp_path):
    """A copy with a wrong extension has two findings: one picture, and a link to it from the second."""
    damage(photos)
    shutil.copy(photos / "train" / "rose" / "04.jpg", photos / "val" / "tulip" / "odd.png")
    report = cr.check_data(photos)
    text = report.save(tmp_path / "out")[-1].read_text()
    named = [file for finding in report.findings for file in finding.files]
    assert len(named) > len(set(named))
    ids = re.findall(r"<figure id='(\w+)'>", text)
    assert len(ids) == len(set(ids)) == len(set(named))
    assert set(re.findall(r"href='#(\w+)'", text)) <= set(ids)
    pictures = re.findall(r"<img [^>]*>", text)
    assert len(pictures) == len(ids) - text.count("<div>no picture")
    (figure,) = re.findall(
        r"<figure id='(\w+)'>[^/]*?<img [^>]*>tulip/odd\.png<br>validation, tulip<br>also: wrong extension<", text
    )
    section = text.partition("</span>wrong extension</h2>")[2].partition("<h2>")[0]
    assert f"<a href='#{figure}'>tulip/odd.png</a>" in section
    assert "<img" not in section  # the other file, "really png.jpg", is also among the near duplicates


def test_html_report_of_many_classes_scrolls_the_counts(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(60):
        (tmp_path / "many" / f"class {i}").mkdir(parents=True)
        for k in range(2):
            image = Image.fromarray(rng.integers(0, 255, (16, 16, 3)).astype("uint8"))
            image.save(tmp_path / "many" / f"class {i}" / f"{k}.png")
    text = cr.check_data(tmp_path / "many").save(tmp_path / "out")[-1].read_text()
    assert text.count("<th>class ") == 60
    assert re.search(r"\.counts \{ max-height: 24rem;[^}]*overflow: auto", text)
    assert "<div class='counts'><table" in text
