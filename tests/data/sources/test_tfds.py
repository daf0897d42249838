"""TensorFlow Datasets (TFDS), prepared in a temporary folder in a subprocess, since TFDS reads TFDS_DATA_DIR once."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets

from cnnrecipes.data.sources import tfds
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError, UnknownNameError
from cnnrecipes.recipe.schema import Data

# In a set, image i has the value i everywhere and the class i % 3; splits start at different numbers.
PROGRAM = """
import gc, json, sys
import numpy as np
import tensorflow_datasets as tfds
from cnnrecipes.data.batching import evaluation_batches
from cnnrecipes.data.images.decode import decode
from cnnrecipes.data.images.decoded_cache import DecodedImages
from cnnrecipes.data.images.image_store import ArrayImages, EncodedImages
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import CNNRecipesError
from cnnrecipes.recipe.schema import Data

class Numbered(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    def _info(self):
        image, label = tfds.features.Image(shape=self.shape), tfds.features.ClassLabel(names=list("xyz"))
        features = tfds.features.FeaturesDict({"image": image, "label": label})
        return tfds.core.DatasetInfo(builder=self, features=features)
    def _split_generators(self, downloads):
        ranges = {"train": (0, 30), "validation": (30, 36), "test": (60, 72)}
        return {split: self._generate_examples(*limits) for split, limits in ranges.items()}
    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            height, width, channels = self.shape
            shape = (height or 4 + i % 5, width or 6, channels)
            yield i, {"image": np.full(shape, i, np.uint8), "label": i % 3}

class TinyGray(Numbered):
    shape = (5, 6, 1)

class TinyPhotos(Numbered):
    shape = (None, None, 3)

def found(name):
    source = open_source(name, Data(name=name))
    splits = {}
    for split in source.splits.values():
        examples = [split.read(i) for i in range(len(split))]
        images = [image if isinstance(image, np.ndarray) else decode(image, 3).numpy() for image, _ in examples]
        splits[split.name] = {
            "numbers": [int(image.max()) for image in images],
            "flat": all(image.min() == image.max() for image in images),
            "shapes": sorted({image.shape for image in images}),
            "labels": [label for _, label in examples],
        }
    return {"class_names": source.class_names, "splits": splits}

def in_memory():
    gc.collect()
    kinds = (ArrayImages, EncodedImages, DecodedImages)
    return [type(one).__name__ for one in gc.get_objects() if isinstance(one, kinds)]

def in_memory_during_and_after(name):
    spec = Data(name=name, image_size=8)
    with open_source(name, spec) as source:
        next(iter(evaluation_batches(source.split("validation"), spec, 3)))
        during = in_memory()
    del source
    return during, in_memory()

report = {name: found(name) for name in ("tiny_gray", "tiny_photos")}
report["images"] = {name: in_memory_during_and_after(name) for name in ("tiny_gray", "tiny_photos")}
report["again"] = found("tiny_gray") == report["tiny_gray"]
for name in ("mnist", "cifar10"):
    try:
        open_source(name, Data(name=name))
    except CNNRecipesError as error:
        report[name] = f"{type(error).__name__}: {error}"
print(json.dumps(report))
"""

# Makes every host unreachable: nothing listens on port 9.
NO_NETWORK = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    """The report of a process whose TFDS folder cannot hold MNIST: a file has the name of its folder."""
    folder = tmp_path_factory.mktemp("tfds")
    (folder / "sets").mkdir()
    (folder / "sets" / "mnist").write_text("in the way")
    (folder / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "TFDS_DATA_DIR": str(folder / "sets"), "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(folder / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment | NO_NETWORK, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr}


@pytest.mark.parametrize("name", ["tiny_gray", "tiny_photos"])
def test_every_image_is_read_once_with_its_label(report, name):
    assert report[name]["class_names"] == list("xyz")
    for split, numbers in {"train": range(30), "validation": range(30, 36), "test": range(60, 72)}.items():
        found = report[name]["splits"][split]
        assert found["flat"]
        assert sorted(found["numbers"]) == list(numbers)
        np.testing.assert_array_equal(found["labels"], np.array(found["numbers"]) % 3)


def test_images_keep_their_size_and_channels(report):
    gray, photos = (report[name]["splits"]["train"]["shapes"] for name in ("tiny_gray", "tiny_photos"))
    assert gray == [[5, 6, 1]]
    assert photos == [[height, 6, 3] for height in range(4, 9)]


def test_order_is_reproducible(report):
    assert report["again"]


def test_images_are_released(report):
    for during, after in report["images"].values():
        assert len(during) >= 3
        assert after == []


def test_unprepared_set_names_the_searched_folder(report):
    assert report["mnist"].startswith("DataError: TFDS set 'mnist'")
    assert "TFDS_DATA_DIR" in report["mnist"]


def test_missing_network_raises_without_retries(report):
    """TFDS itself would retry ten times, for 204 s."""
    assert report["cifar10"].startswith("DataError: TFDS set 'cifar10' is not in ")
    assert "cannot be downloaded: www.cs.toronto.edu: " in report["cifar10"]
    assert report["cifar10"].endswith("check the network, or point TFDS_DATA_DIR to where it is prepared")
    assert "Retrying" not in report["stderr"]
    assert "no dataset_info.json" not in report["stderr"]


def test_downloaded_files_need_no_network(tmp_path, monkeypatch):
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    builder = tensorflow_datasets.builder("mnist", data_dir=tmp_path)
    urls = list(builder.url_infos)
    assert len(urls) == 4
    (tmp_path / "downloads" / "mnist").mkdir(parents=True)
    for i, url in enumerate(urls):
        with pytest.raises(DataError, match="'mnist'.*cannot be downloaded"):
            tfds._check_network("mnist", builder)
        (tmp_path / "downloads" / "mnist" / f"{i}.INFO").write_text(json.dumps({"urls": [url]}))
    tfds._check_network("mnist", builder)


def test_describe_needs_no_download():
    assert tfds.describe("mnist")[:2] == (tuple("0123456789"), (28, 28, 1))
    assert tfds.describe("tf_flowers").shape == (None, None, 3)
    with pytest.raises(DataError, match="'image' and 'label'"):
        tfds.describe("imdb_reviews")


@pytest.mark.parametrize("name", ["cifar10:9.9.9", "tfds:cifar10/foo"])
def test_unknown_version_or_variant_raises(name):
    with pytest.raises(DataError, match="cifar10"):
        open_source(name, Data(name=name))


def test_set_without_images_is_refused():
    with pytest.raises(DataError, match="imdb_reviews.*'image' and 'label'"):
        open_source("imdb_reviews", Data(name="imdb_reviews"))


@pytest.mark.parametrize(("name", "near"), [("cifar1", "cifar10"), ("fashionmnist", "fashion_mnist"), ("digit", "")])
def test_mistyped_name_suggests_the_nearest(name, near):
    with pytest.raises(UnknownNameError, match=f"{name}.*{near}"):
        open_source(name, Data(name=name))


@pytest.mark.parametrize("name", ["digit", "zzzzqqqq", "my photos", "photos.zpi", "PHOTOS_2024"])
def test_unknown_name_raises_a_short_message(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError if set(name) & {" ", "."} else UnknownNameError) as caught:
        open_source(name, Data(name=name))
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", ["photoz", "photo.zip", "my photo", "Photos3"])
def test_name_similar_to_a_file_suggests_the_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for there in ("photos2", "photos.zip", "my photos"):
        (tmp_path / there).mkdir()
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=rf"^'{name}' does not exist \(did you mean '") as caught:
        open_source(name, Data(name=name))
    assert len(str(caught.value)) < 250


def test_undeclared_dependency_of_tfds_is_installed():
    """tensorflow-datasets 4.9.10 needs it to download any set."""
    assert importlib.util.find_spec("importlib_resources")
