"""Images, decoded caches and open files are released after a training, however it ends (TFDS: test_tfds.py)."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import cnnrecipes as cr
from cnnrecipes.data import batching
from cnnrecipes.data.images import decoded_cache, image_store
from cnnrecipes.data.sources import opening as sources
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.training.callbacks.validation_and_history import ExecutionTimer

STATISTICS = Statistics((120.0,) * 3, (60.0,) * 3)
RECIPE = cr.Recipe.from_dict(
    {
        "data": {"name": "arrays", "batch_size": 8, "image_size": 16, "validation": 0.25},
        "model": {"name": "resnet8", "depths": [1], "widths": [16]},
        "optimizer": {"learning_rate": 0.01},
        "train": {"epochs": 1},
        "logging": {"loggers": []},
    },
    "test",
)


def noise(count: int = 32, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    return images, np.arange(count) % 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """32 photos of two classes, and a CSV table of them."""
    folder = tmp_path_factory.mktemp("photos")
    rows = ["path,label"]
    for i, (image, label) in enumerate(zip(*noise(size=20), strict=True)):
        (folder / f"class{label}").mkdir(exist_ok=True)
        path = folder / f"class{label}" / f"{i}.png"
        path.write_bytes(tf.io.encode_png(image).numpy())
        rows.append(f"{path},class{label}")
    (folder.with_suffix(".csv")).write_text("\n".join(rows))
    return folder


def data_of_kind(kind: str, folder: Path):
    """A data argument of the given kind."""
    if kind == "folder":
        return str(folder)
    if kind == "table":
        return str(folder.with_suffix(".csv"))
    if kind == "tf.data":
        return tf.data.Dataset.from_tensor_slices(noise())
    if kind == "tf.data of files":
        images, labels = noise(size=20)
        return tf.data.Dataset.from_tensor_slices(([tf.io.encode_png(image).numpy() for image in images], labels))
    return noise()


@contextlib.contextmanager
def tracked_images(monkeypatch):
    """Collect weak references to the images and decoded caches created within the context."""
    found = []

    def note(kind):
        before = kind.__init__

        def init(self, *arguments, **named):
            before(self, *arguments, **named)
            found.append(weakref.ref(self))

        monkeypatch.setattr(kind, "__init__", init)

    for kind in (image_store.ArrayImages, image_store.EncodedImages, decoded_cache.DecodedImages):
        note(kind)
    yield found


def open_descriptors() -> int:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("there is no /proc/self/fd to count open files in")
    return len(os.listdir("/proc/self/fd"))


def alive(found: list[weakref.ref]) -> list[str]:
    gc.collect()
    return [repr(type(reference())) for reference in found if reference() is not None]


def fail_during_training(monkeypatch, error: BaseException | None) -> None:
    if error is not None:

        def on_train_batch_end(self, batch, logs=None):
            if batch >= 1:
                raise error

        monkeypatch.setattr(ExecutionTimer, "on_train_batch_end", on_train_batch_end)


ENDS = {"end": None, "error": ValueError("in the middle"), "Ctrl-C": KeyboardInterrupt()}
SOURCES = [
    *(("array", "none", end) for end in ENDS),
    *(("folder", cache, end) for cache in ("none", "memory", "disk") for end in ENDS),
    ("table", "disk", "end"),
    ("tf.data", "none", "end"),
    ("tf.data of files", "memory", "end"),
]


@pytest.mark.parametrize(("kind", "cache", "end"), SOURCES)
def test_fit_releases_all_images_and_caches(monkeypatch, folder, tmp_path, kind, cache, end):
    def train() -> None:
        expected = contextlib.nullcontext() if ENDS[end] is None else pytest.raises((type(ENDS[end]), cr.Interrupted))
        with expected:
            changes = {"data.cache": cache, "devices.steps_per_execution": 1}
            cr.fit(RECIPE, data=data_of_kind(kind, folder), workdir=tmp_path, progress=False, **changes)

    with tracked_images(monkeypatch) as found:
        fail_during_training(monkeypatch, ENDS[end])
        train()
        if ENDS[end] is not None:
            ENDS[end].__traceback__ = ENDS[end].__context__ = None  # it refers to every frame
        assert len(found) >= (2 if cache != "none" else 1)
        assert alive(found) == []


def test_number_of_open_files_is_constant_over_fits(folder, tmp_path):
    """With the cache that is a file."""
    counts = []
    for _ in range(3):
        cr.fit(RECIPE, data=str(folder), workdir=tmp_path, progress=False, **{"data.cache": "disk"})
        counts.append(open_descriptors())
    assert counts[1:] == counts[:1] * 2


def test_evaluate_predict_and_plot_batch_release_images(monkeypatch, tmp_path):
    run = cr.fit(RECIPE, data=noise(), workdir=tmp_path, progress=False)
    with tracked_images(monkeypatch) as found:
        run.evaluate(data=noise(), split="train")
        run.predict(list(noise(3)[0]))
        cr.analysis.plot_batch(RECIPE, data=noise(), images=2)
        cr.check_data(noise())
        assert len(found) >= 3
        assert alive(found) == []


def batches(cache: str = "none", data=None):
    recipe = RECIPE.change(**{"data.cache": cache})
    split = sources.open_source(noise() if data is None else data, recipe.data).split("train")
    return split, batching.training_batches(split, recipe, STATISTICS, 2)


@pytest.mark.parametrize("use", ["not at all", "to its end", "in part"])
@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_deleted_dataset_releases_its_images_without_gc(monkeypatch, folder, cache, use):
    """Immediately, without the cyclic garbage collector."""
    with tracked_images(monkeypatch) as found:
        data = noise() if cache == "none" else str(folder)
        _, dataset = batches(cache, data)
        gc.collect()
        gc.disable()
        try:
            if use != "not at all":
                for images, _labels in dataset:
                    assert images.shape == (8, 16, 16, 3)
                    if use == "in part":
                        break
                del images, _labels
            del dataset, _
            assert [reference for reference in found if reference() is not None] == []
        finally:
            gc.enable()


def test_dataset_is_usable_while_an_iterator_or_derived_dataset_exists():
    _, dataset = batches()
    expected = [images.numpy() for images, _ in dataset]
    derived = dataset.map(lambda images, labels: images)
    iterator = iter(derived.repeat(2))
    del dataset, derived, _
    gc.collect()
    found = [images.numpy() for images in iterator]
    np.testing.assert_array_equal(found, expected * 2)


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_closed_dataset_raises_with_a_remedy(folder, cache):
    for data in [noise(), str(folder)] if cache == "none" else [str(folder)]:
        split, dataset = batches(cache, data)
        assert len(list(dataset)) == 3
        split.close()
        with pytest.raises(tf.errors.InvalidArgumentError, match="this tf.data.Dataset is closed.*create a new one"):
            next(iter(dataset))
        again = batching.training_batches(split, RECIPE.change(**{"data.cache": cache}), STATISTICS, 2)
        assert len(list(again)) == 3


def test_closing_during_prefetch_is_silent():
    """No crash and nothing on stderr at TensorFlow's most verbose level; calls in progress end normally."""
    program = textwrap.dedent(
        """
        import sys, time
        sys.path.insert(0, sys.argv[1])
        import test_memory as t
        for end in ("close", "delete the iterator", "delete the data set"):
            for _ in range(3):
                split = t.sources.open_source(t.noise(), t.RECIPE.data).split("train")
                dataset = t.batching.evaluation_batches(split, t.RECIPE.data, 2).repeat().prefetch(50)
                iterator = iter(dataset)
                next(iterator)
                print("-- from here", file=sys.stderr, flush=True)
                if end == "close":
                    split.close()
                    time.sleep(0.05)
                    del iterator
                elif end == "delete the iterator":
                    del dataset, split, iterator
                else:
                    del dataset, split
                    next(iterator)
                    del iterator
                print("-- to here", file=sys.stderr, flush=True)
        print("clean")
        """
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    command = [sys.executable, "-c", program, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "clean"
    pieces = done.stderr.split("-- from here\n")[1:]
    assert len(pieces) == 9
    assert [piece.partition("-- to here")[0] for piece in pieces] == [""] * 9


@pytest.mark.parametrize("on_disk", [False, True])
def test_closed_cache_still_decodes_but_stores_nothing(on_disk):
    images = decoded_cache.DecodedImages(lambda i: np.full((4, 4, 1), i, np.uint8), limit=10**6, on_disk=on_disk)
    for i in (1, 2, 1):
        assert images(i)[0, 0, 0] == i
    before = open_descriptors()
    images.close()
    assert open_descriptors() == before - on_disk
    for i in (1, 2, 3, 3):
        assert images(i)[0, 0, 0] == i
    assert images._kept == {}


def test_repeated_fits_and_predictions_do_not_retrace(tmp_path, caplog):
    """TensorFlow warns at the fifth graph of the same code; this test makes twelve and more."""
    caplog.set_level(logging.WARNING, logger="tensorflow")
    image = noise(1)[0][0]
    for _ in range(6):
        run = cr.fit(RECIPE, data=noise(), workdir=tmp_path, progress=False)
        assert run.predict(image) == cr.load(run.folder / "model.keras").predict(image)
    assert [record.getMessage() for record in caplog.records if "retracing" in record.getMessage()] == []
