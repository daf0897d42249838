"""Cached features: hits, keys, views, kills, several processes, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from adaptation import NARROW, SMALL, write_photos
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.data import batching
from cnnrecipes.data.batch_sampler import training_examples
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import CacheError, CNNRecipesWarning, DataError, RecipeError, TrainingError
from cnnrecipes.recipe import catalog
from cnnrecipes.runs import checkpoint
from cnnrecipes.transfer import feature_cache
from cnnrecipes.transfer.feature_cache import features
from cnnrecipes.transfer.split_model import SplitModel

CROPS = {"augment.ops": ["random_resized_crop(scale=(0.5, 1))", "flip_lr", "color_jitter(0.3)"]}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder; returns its folder of features."""
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def opened(data, **changes) -> InputPipeline:
    recipe = catalog.load("resnet20_cifar").change(**{**SMALL, "data.standardize": "imagenet", **changes})
    return InputPipeline.open(recipe, data)


def backbone(pipeline: InputPipeline):
    """The frozen part of a model with drawn weights, always the same ones."""
    keras.utils.set_random_seed(0)
    narrow = {key.removeprefix("model."): value for key, value in NARROW.items()}
    return SplitModel.before_head(cr.build("resnet8", **narrow, **pipeline.for_model)).frozen


def cached(folder: Path) -> dict[str, int]:
    """The inode of each file, another one if it is written again."""
    return {path.name: path.stat().st_ino for path in folder.glob("[!.]*.npy")}


def leftovers(folder: Path) -> Iterator[Path]:
    """Temporary files."""
    return folder.glob(".*.npy")


def expected(model, pipeline: InputPipeline, split: str = "train") -> np.ndarray:
    batches = batching.arrays(pipeline.source.split(split), pipeline.recipe.data, len(pipeline.class_names))
    return np.concatenate([model(images, training=False).numpy()[weights > 0] for images, _, weights in batches])


def test_features_are_the_outputs_for_each_image_and_are_computed_once(photos, cache):
    pipeline = opened(str(photos))
    model = backbone(pipeline)
    for split in ("train", "validation"):
        found = features(model, pipeline, split)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected(model, pipeline, split), atol=1e-5)
    before = cached(cache)
    assert len(before) == 2
    for opened_again in (pipeline, opened(str(photos))):
        again = features(backbone(opened_again), opened_again, "train")
        assert isinstance(again, np.memmap)
        assert not again.flags.writeable
        assert again.tobytes() == features(model, pipeline, "train").tobytes()
    assert cached(cache) == before
    assert not list(leftovers(cache))


@pytest.mark.parametrize(
    "changes",
    [
        {"data.image_size": 24},
        {"data.resize": "pad"},
        {"transfer.features_dtype": "float16"},
        {"data.channels": 1, "data.standardize": "image"},
    ],
)
def test_other_preparation_or_dtype_has_other_features(photos, cache, changes):
    pipeline, other = opened(str(photos)), opened(str(photos), **changes)
    features(backbone(pipeline), pipeline, "validation")
    found = features(backbone(other), other, "validation")
    assert len(cached(cache)) == 2
    assert found.dtype == other.recipe.transfer.features_dtype
    tolerance = 1e-5 if found.dtype == np.float32 else 1e-2
    np.testing.assert_allclose(found, expected(backbone(other), other, "validation"), atol=tolerance)


def test_other_weights_have_other_features(photos, cache):
    pipeline = opened(str(photos))
    model = backbone(pipeline)
    before = features(model, pipeline, "validation")
    weight = model.trainable_weights[0]
    weight.assign(weight + 1e-3)
    after = features(model, pipeline, "validation")
    assert len(cached(cache)) == 2
    assert np.abs(before - after).max() > 0


def test_changed_file_has_other_features(photos, cache, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "copy")
    pipeline = opened(str(folder))
    before = np.array(features(backbone(pipeline), pipeline, "validation"))
    changed = pipeline.source.split("validation").files()[2]
    Image.fromarray(np.full((24, 24, 3), 200, np.uint8)).save(changed)
    pipeline = opened(str(folder))
    after = features(backbone(pipeline), pipeline, "validation")
    assert len(cached(cache)) == 2
    assert list(np.abs(before - after).max(axis=1) > 1e-6) == [index == 2 for index in range(8)]


@pytest.mark.parametrize("changes", [CROPS, {"augment.ops": ["pad_crop(2)", "cutout(4)"]}])
def test_view_is_the_augmentation_of_the_training_epoch(photos, cache, changes):
    pipeline = opened(str(photos), **changes)
    split, classes = pipeline.train, len(pipeline.class_names)
    model, per_epoch = backbone(pipeline), pipeline.steps_per_epoch
    for epoch in (0, 2):
        steps = {"first_step": epoch * per_epoch, "last_step": (epoch + 1) * per_epoch}
        batches = batching.view_batches(split, pipeline.recipe, pipeline.statistics, classes, epoch)
        view = np.concatenate(list(batches.as_numpy_iterator()))[: len(split)]
        places = training_examples(split, pipeline.recipe, classes, **steps)
        trained = pipeline.training_batches(*steps.values())
        for (epochs, index, labels), (images, true) in zip(places, trained.as_numpy_iterator(), strict=True):
            assert set(epochs.numpy()) == {epoch}
            np.testing.assert_array_equal(view[index], images)
            np.testing.assert_array_equal(labels, true)
        found = features(model, pipeline, "train", epoch)
        np.testing.assert_allclose(found, model(view, training=False), atol=1e-5)
    assert len(cached(cache)) == 2


def test_views_depend_on_seed_and_operations_and_features_without_views_do_not(photos, cache):
    for changes in ({}, {"train.seed": 1}, CROPS):
        pipeline = opened(str(photos), **{"augment.ops": ["flip_lr"], **changes})
        model = backbone(pipeline)
        features(model, pipeline, "train")
        features(model, pipeline, "train", 0)
    assert len(cached(cache)) == 4


@pytest.mark.parametrize("operation", ["mixup", "alternating_flip_lr"])
def test_views_of_mixed_or_alternating_images_are_refused(photos, cache, operation):
    pipeline = opened(str(photos), **{"augment.ops": [operation], "transfer.views": 2})
    with pytest.raises(RecipeError, match=r"transfer.views = 2 needs an augmentation of single images"):
        features(backbone(pipeline), pipeline, "train", 0)
    assert not cached(cache)


def test_arrays_have_features_that_are_not_cached(cache):
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3)).astype(np.uint8)
    pipeline = opened((images, np.arange(20) % 2), **{"data.validation": 0.0})
    model = backbone(pipeline)
    np.testing.assert_allclose(features(model, pipeline, "train"), model(images, training=False), atol=1e-5)
    assert not cache.exists()


def test_damaged_or_incomplete_file_is_computed_again(photos, cache):
    pipeline = opened(str(photos))
    model = backbone(pipeline)
    good = np.array(features(model, pipeline, "validation"))
    (path,) = cache.glob("[!.]*.npy")
    for damaged in (b"", b"text", path.read_bytes()[:-8]):
        path.write_bytes(damaged)
        np.testing.assert_array_equal(features(model, pipeline, "validation"), good)


def test_folder_that_cannot_be_written_is_done_without(photos, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in place of a folder")
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "file"))
    pipeline = opened(str(photos))
    model = backbone(pipeline)
    np.testing.assert_allclose(
        features(model, pipeline, "validation"), expected(model, pipeline, "validation"), atol=1e-5
    )


def test_too_full_disk_is_an_error_with_a_remedy(photos, cache, monkeypatch):
    pipeline = opened(str(photos))
    full = type("usage", (), {"free": 100})
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda folder: full)
    with pytest.raises(
        TrainingError, match=r"features need 0.0 GiB, and 0.0 GiB are free.*cache --clear.*CNNRECIPES_CACHE"
    ):
        features(backbone(pipeline), pipeline, "train")
    assert not list(cache.glob("[!.]*.npy"))


class Variants:
    """Features of the validation photos by one model with several weights, each 128 + 8 * 16 * 4 bytes in the cache."""

    size = 640

    def __init__(self, photos: Path):
        self.pipeline = opened(str(photos))
        self.forward = feature_cache.Forward(backbone(self.pipeline))

    def features(self, factor: int) -> np.ndarray:
        last = self.forward.model.trainable_weights[-1]
        last.assign(np.full(last.shape, factor))
        return features(self.forward, self.pipeline, "validation")


def test_least_recently_used_features_are_deleted_above_the_limit(photos, cache, monkeypatch):
    variants = Variants(photos)
    first, second = (variants.features(factor).copy() for factor in (1, 2))
    assert [path.stat().st_size for path in cache.glob("*.npy")] == [variants.size] * 2
    monkeypatch.setenv("CNNRECIPES_CACHE_LIMIT", "1.9 KiB")
    for factor in (1, 3, 4):  # the first is used again
        variants.features(factor)
    before = cached(cache)
    assert len(before) == 3
    np.testing.assert_array_equal(variants.features(1), first)
    assert cached(cache) == before
    np.testing.assert_array_equal(variants.features(2), second)
    assert cached(cache) != before


def test_features_in_use_are_not_deleted(photos, cache, monkeypatch):
    variants = Variants(photos)
    monkeypatch.setenv("CNNRECIPES_CACHE_LIMIT", "0.5 KiB")
    with pytest.warns(CNNRecipesWarning, match="take 0.625 KiB, more than the limit of 0.5 KiB.*CACHE_LIMIT"):
        used = variants.features(1)
    good, part = used.copy(), used[2:]
    del used
    variants.features(2)
    assert len(cached(cache)) == 2
    np.testing.assert_array_equal(part, good[2:])
    del part
    with pytest.warns(CNNRecipesWarning, match="take 0.625 KiB"):
        variants.features(3)
    assert len(cached(cache)) == 1


def test_old_features_make_room_on_a_full_disk(photos, cache, monkeypatch):
    variants = Variants(photos)
    monkeypatch.setattr(feature_cache, "_RESERVE", 0)
    monkeypatch.setattr(
        feature_cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=(2 - len(cached(cache))) * variants.size)
    )
    for factor in (1, 2, 3):
        variants.features(factor)
    before = cached(cache)
    assert len(before) == 2
    variants.features(2)
    assert cached(cache) == before


def test_invalid_limit_is_an_error_before_data_are_read_or_features_computed(photos, cache, monkeypatch):
    pipeline = opened(str(photos))
    model = backbone(pipeline)
    monkeypatch.setenv("CNNRECIPES_CACHE_LIMIT", "20")
    monkeypatch.setattr(feature_cache, "_compute", None)
    with pytest.raises(CacheError, match="CNNRECIPES_CACHE_LIMIT is '20'"):
        features(model, pipeline, "train")
    with pytest.raises(CacheError, match="CNNRECIPES_CACHE_LIMIT is '20'"):
        cr.fit("features_photos", "missing/", progress=False)


def test_disk_that_is_full_in_spite_of_the_check_is_an_error(photos, cache):
    """A limit of the size of files stands for a quota: the check of the free space does not know either."""
    resource = pytest.importorskip("resource", reason="limits of files are of POSIX")
    pipeline = opened(str(photos))
    model = backbone(pipeline)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(
            TrainingError, match=r"features cannot be written to .*(large|space).*features_dtype=float16"
        ):
            features(model, pipeline, "train")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [*cache.glob("[!.]*.npy"), *leftovers(cache)]


def test_unreadable_image_is_named(photos, cache, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "copy")
    pipeline = opened(str(folder))
    broken = Path(pipeline.train.files()[5])
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(DataError, match=broken.name):
        features(backbone(pipeline), pipeline, "train")
    assert not [*cache.glob("[!.]*.npy"), *leftovers(cache)]


PROGRAM = """
    import os
    import sys
    sys.path.insert(0, sys.argv[1])
    import importlib.util
    spec = importlib.util.spec_from_file_location("program", sys.argv[2])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from cnnrecipes.runs import checkpoint
    for line in sys.stdin:
        photos, os.environ["CNNRECIPES_CACHE"] = line.split()
        pipeline = module.opened(photos)
        model = module.backbone(pipeline)
        print("ready", flush=True)
        sys.stdin.readline()
        print(checkpoint.digest([module.features(model, pipeline, "train")]), flush=True)
"""


class OtherProcess:
    """A process that computes the features of the training photos of a folder, after it is told to begin."""

    def __init__(self):
        command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(Path(__file__).parents[1]), __file__]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, **pipes)

    def tell(self, *words) -> None:
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture(scope="module")
def process() -> Iterator[OtherProcess]:
    other = OtherProcess()
    yield other
    other.kill()


def test_two_processes_at_once_share_one_computation(process, photos, cache):
    process.tell(photos, cache.parent)
    pipeline = opened(str(photos))
    model = backbone(pipeline)
    assert process.hear() == "ready"
    process.tell()
    found = features(model, pipeline, "train")
    assert process.hear() == checkpoint.digest([found])
    assert len(cached(cache)) == 1
    assert not list(leftovers(cache))


def test_process_killed_while_computing_leaves_nothing_in_the_way(process, cache, tmp_path):
    many = write_photos(tmp_path / "many", train=1000)
    process.tell(many, cache.parent)
    assert process.hear() == "ready"
    process.tell()
    deadline = time.monotonic() + 60
    while not list(leftovers(cache)) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert len(list(leftovers(cache))) == 1
    assert not cached(cache)
    pipeline = opened(str(many))
    model = backbone(pipeline)
    other = features(model, pipeline, "validation")  # other features: the abandoned file is deleted all the same
    assert not list(leftovers(cache))
    assert len(other) == 8
    np.testing.assert_allclose(features(model, pipeline, "train"), expected(model, pipeline), atol=1e-5)
    assert len(cached(cache)) == 2


def test_waiting_process_takes_what_the_other_has_computed(photos, cache):
    pipeline = opened(str(photos))
    model = backbone(pipeline)
    good = np.array(features(model, pipeline, "validation"))
    (path,) = cache.glob("[!.]*.npy")
    path.unlink()
    with ThreadPoolExecutor(1) as threads:
        with feature_cache._held(path):
            waiting = threads.submit(features, model, pipeline, "validation")
            time.sleep(0.5)
            assert not waiting.done()
            np.save(path, good + 1)
        np.testing.assert_array_equal(waiting.result(timeout=60), good + 1)
