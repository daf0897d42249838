"""A new kind of data is one class in one module outside the package; fit, evaluate, check_data and errors find it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.data.sources import ArrayImages, Contents, DataSource, Pool, data_source, registry
from cnnrecipes.data.sources.opening import absent, recorded_name
from cnnrecipes.errors import DataError, RegistrationError, UnknownNameError

MODULE = """
import numpy as np

from cnnrecipes.data.sources import ArrayImages, Contents, DataSource, Pool, data_source


@data_source("stripes")
class Stripes(DataSource):
    form = "stripes/COUNT"

    def matches(self, data):
        return isinstance(data, str) and data.partition("/")[0] == "stripes"

    def read(self, data, options):
        labels = np.arange(int(data.partition("/")[2] or 16), dtype=np.int32) % 2
        images = np.zeros((len(labels), 8, 8, 1), np.uint8)
        images[labels == 0, ::2], images[labels == 1, :, ::2] = 255, 255
        return Contents(("rows", "columns"), {"train": Pool(ArrayImages(images), labels)})

    def names(self):
        return ("stripes",)
"""
TINY = {"train.epochs": 1, "data.batch_size": 8}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    (tmp_path / "striped_images.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    registry.registered()  # registers the built-in sources in the original, which outlives the test
    monkeypatch.setattr(registry, "_SOURCES", dict(registry._SOURCES))
    monkeypatch.setenv("CNNRECIPES_PLUGINS", "striped_images")
    monkeypatch.delitem(sys.modules, "striped_images", raising=False)


@pytest.mark.usefixtures("plugin")
def test_plugin_source_is_trained_on_evaluated_and_recorded(tmp_path):
    run = cr.fit("resnet8_digits", data="stripes/32", workdir=tmp_path / "runs", progress=False, **TINY)
    assert run.recipe.data.name == recorded_name("stripes/32") == "stripes/32"
    assert absent("stripes/32") is None
    assert run.artifact.class_names == ("rows", "columns")
    found = run.evaluate("stripes/8")
    assert (found["split"], found["n"]) == ("data", 8)
    assert cr.check_data("stripes/8", progress=False).trainable


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ("stripez", UnknownNameError, "did you mean.*stripes"),
        ("hg:pets", DataError, "give stripes/COUNT, a table, .* or a TFDS name"),
    ],
)
def test_errors_for_unknown_names_suggest_the_plugin_source(data, error, words):
    with pytest.raises(error, match=words):
        cr.check_data(data, progress=False)


def test_command_line_imports_the_modules_of_cnnrecipes_plugins(tmp_path, monkeypatch):
    (tmp_path / "striped_images.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("CNNRECIPES_PLUGINS", "striped_images")
    command = [sys.executable, "-m", "cnnrecipes", "check-data", "stripes/8", "--output", str(tmp_path / "report")]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "report" / "report.json").is_file()


def test_plugin_that_cannot_be_imported_raises(monkeypatch):
    monkeypatch.setenv("CNNRECIPES_PLUGINS", "no_such_module")
    with pytest.raises(RegistrationError, match=r"'no_such_module' of CNNRECIPES_PLUGINS.*PYTHONPATH"):
        registry.find("digits")


def test_invalid_registrations_are_refused(monkeypatch):
    monkeypatch.setattr(registry, "_SOURCES", dict(registry._SOURCES))
    registry.registered()

    class Incomplete(DataSource):
        pass

    class Complete(Incomplete):
        def matches(self, data):
            return False

        def read(self, data, options):
            return Contents((), {"train": Pool(ArrayImages(np.empty((0, 1, 1, 1), np.uint8)), np.empty(0, np.int32))})

    for name, cls, words in (
        ("x", int, "register a subclass of .*DataSource"),
        ("x", Incomplete, "Incomplete lacks matches, read"),
        ("folder", Complete, r"'folder' is registered twice, for .*\.Folder and .*Complete; rename"),
    ):
        with pytest.raises(RegistrationError, match=words):
            data_source(name)(cls)
    assert data_source("complete")(Complete) is Complete
    assert data_source("complete")(Complete) is Complete


def test_built_in_sources_are_tried_in_a_fixed_order():
    sources = [type(source) for source in registry.registered()]
    names = [cls.__name__ for cls in sources if cls.__module__.startswith("cnnrecipes.")]
    assert names == ["Digits", "Table", "Arrays", "WebArchive", "Archive", "Folder", "Tfds"]
