"""File, folder and class names that are not valid UTF-8, through check_data, fit, evaluate and predict."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pandas as pd
import pytest
from encoding import encoded
from PIL import Image

import cnnrecipes as cr
from cnnrecipes import analysis
from cnnrecipes.cli.app import app
from cnnrecipes.data.audit import checks
from cnnrecipes.data.sources.image_paths import image_paths

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names but UTF-8")
CHANGES = {"data.image_size": 16, "data.batch_size": 4, "model.name": "resnet8", "train.epochs": 1}


def write_photos(root: bytes) -> str:
    """Two classes of images in subfolders, each with an empty file; one image is in both; no file name is UTF-8."""
    random = np.random.default_rng(0)
    copy = encoded(Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8)), "PNG")
    for name in (b"cat", b"dog"):
        folder = root + b"/" + name + b"/s\xe4b"
        os.makedirs(folder)
        for i in range(5):
            with open(folder + b"/%d\xff\n.png" % i, "wb") as file:
                file.write(encoded(Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8)), "PNG"))
        for file, content in ((b"/bad\xfe.png", b""), (b"/copy\xfd.png", copy)):
            with open(folder + file, "wb") as opened:
                opened.write(content)
    return os.fsdecode(root)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path) -> str:
    return write_photos(os.fsencode(tmp_path) + b"/photos")


def test_check_data_writes_escaped_names_to_json_html_and_text(photos, tmp_path):
    report = cr.check_data(photos)
    assert report.trainable
    repr(report).encode()  # must not raise
    report._repr_html_().encode()
    for path in report.save(os.fsdecode(os.fsencode(tmp_path) + b"/\xe4out")):
        assert r"bad\udcfe.png" in path.read_text(encoding="utf-8")
    found = json.loads(report.to_json())
    assert set(found["unreadable"]) == {f"{photos}/{name}/s\udce4b/bad\udcfe.png" for name in ("cat", "dog")}
    (copies,) = [one for one in found["findings"] if one["kind"] == "copies in different classes"]
    assert [os.path.exists(one["file"]) for one in copies["groups"][0]] == [True, True]


def test_counts_escape_class_names_that_are_not_utf8():
    """pandas stores text indexes in Arrow, which accepts only UTF-8."""
    counts = checks.count({("train", "c\udce4t"): 3, ("validation", "c\udce4t"): 1, ("train", "dog"): 2})
    assert counts["train"].to_dict() == {r"c\udce4t": 3, "dog": 2}
    assert json.loads(counts.to_json())["validation"] == {r"c\udce4t": 1, "dog": 0}
    counts.to_html().encode()


def test_fit_evaluate_predict_and_plot_batch_accept_non_utf8_files(photos, tmp_path):
    run = cr.fit("photos_from_scratch", photos, workdir=tmp_path / "runs", progress=False, **CHANGES)
    lines = (run.folder / "quarantine.txt").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line.split("\t")[0]).rpartition("/")[2] for line in lines] == ["bad\udcfe.png"] * 2
    with pytest.warns(cr.CNNRecipesWarning, match=r"2 of 14 files .*udcfe"):
        assert run.evaluate(photos)["n"] == 12
    with pytest.warns(cr.CNNRecipesWarning, match=r"1 of 7 images .*udcfe"):
        predictions = run.predict(f"{photos}/cat")
    assert [one.file for one in predictions] == [path for path in image_paths(f"{photos}/cat") if "bad" not in path]
    json.dumps([one.file for one in predictions]).encode()
    with pytest.warns(cr.CNNRecipesWarning, match=r"2 of 14 files .*udcfe"):
        analysis.plot_batch("photos_from_scratch", data=photos, path=tmp_path / "batch.png", **CHANGES)
    assert (tmp_path / "batch.png").stat().st_size > 1000


def test_csv_with_non_utf8_paths_raises_and_data_frame_is_read(photos, tmp_path):
    paths = [path for name in ("cat", "dog") for path in image_paths(f"{photos}/{name}")]
    rows = "".join(f'"{path}",{path.split("/photos/")[1][:3]}\n' for path in paths)
    (tmp_path / "t.csv").write_bytes(b"path,label\n" + os.fsencode(rows))
    with pytest.raises(cr.DataError, match=r"cannot read .*t\.csv.* as a table: 'utf-8' codec can't decode"):
        cr.check_data(tmp_path / "t.csv")
    frame = pd.DataFrame({"path": pd.Series(paths, dtype=object), "label": [p.split("/photos/")[1][:3] for p in paths]})
    report = cr.check_data(frame)
    assert report.counts["train"].to_dict() == {"cat": 6, "dog": 6}


def test_non_utf8_class_folder_is_refused_by_check_data_and_fit(photos, tmp_path):
    os.rename(f"{photos}/cat", os.fsencode(photos) + b"/c\xe4t")
    report = cr.check_data(photos)
    assert not report.trainable
    assert report.counts["train"].to_dict() == {r"c\udce4t": 6, "dog": 6}
    with pytest.raises(cr.DataError, match=r"'c\\udce4t' is not UTF-8; rename it"):
        cr.fit("photos_from_scratch", photos, workdir=tmp_path / "runs", progress=False, **CHANGES)
    assert not (tmp_path / "runs").exists()


def test_non_utf8_data_folder_is_refused_by_check_data_and_fit(tmp_path):
    """A recipe is TOML, which is UTF-8; a symbolic link with another name can be recorded."""
    root = write_photos(os.fsencode(tmp_path) + b"/ph\xe4tos")
    report = cr.check_data(root)
    assert not report.trainable
    with pytest.raises(cr.DataError, match=r"ph\\udce4tos' is not UTF-8.*rename .*link") as raised:
        cr.fit("photos_from_scratch", root, workdir=tmp_path / "runs", progress=False, **CHANGES)
    assert str(raised.value) in [finding.message for finding in report.findings]
    assert not (tmp_path / "runs").exists()
    (tmp_path / "link").symlink_to(root)
    assert cr.check_data(tmp_path / "link").trainable


def test_non_utf8_run_folder_is_refused_before_it_is_created(photos, tmp_path):
    workdir = os.fsdecode(os.fsencode(tmp_path) + b"/r\xe4ns")
    with pytest.raises(cr.RunError, match=r"r\\udce4ns' is not UTF-8"):
        cr.fit("photos_from_scratch", photos, workdir=workdir, progress=False, **CHANGES)
    assert not os.path.exists(workdir)
    with pytest.raises(cr.RunError, match=r"start_from.*m\\udce4del.* is not UTF-8"):
        cr.fit("resnet8_digits", workdir=tmp_path / "runs", progress=False, **{"train.start_from": "m\udce4del.keras"})
    assert not (tmp_path / "runs").exists()


def test_command_line_prints_non_utf8_names_escaped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert app(["check-data", write_photos(os.fsencode(tmp_path) + b"/ph\xe4tos")], standalone_mode=False) == 1
    out, err = capsys.readouterr()
    assert r"ph\udce4tos" in out
    out.encode()
    assert err == ""
