"""The cache of decoded images: identical batches, and a size limit."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from cnnrecipes.data import batching
from cnnrecipes.data.images.decoded_cache import DecodedImages
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.errors import DataError
from cnnrecipes.recipe import catalog

MEAN = Statistics((120.0,) * 3, (60.0,) * 3)


def batches(data, **changes):
    changes = {"data.image_size": 24, "data.batch_size": 20, "data.validation": 0.8, **changes}
    recipe = catalog.load("photos_from_scratch").change(**changes)
    split = open_source(data, recipe.data).split("train")
    found = batching.training_batches(split, recipe, MEAN, 5, last_step=14).as_numpy_iterator()
    return [images.tobytes() + labels.tobytes() for images, labels in found]


@pytest.mark.parametrize("ops", [["pad_crop(2)"], ["random_resized_crop", "flip_lr"]], ids="-".join)
@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("limit", [4.0, 0.0002])
def test_batches_are_identical_with_and_without_the_cache(flowers, ops, where, limit):
    changes = {"augment.ops": ops}
    kept = batches(flowers, **changes, **{"data.cache": where, "data.cache_gb": limit})
    assert kept == batches(flowers, **changes)


@pytest.mark.parametrize("on_disk", [False, True])
def test_images_are_decoded_once_up_to_the_size_limit(on_disk):
    computed = []

    def compute(i):
        computed.append(i)
        return np.full((10, 10 + i, 1), i, np.uint8)

    images = DecodedImages(compute, limit=1000, on_disk=on_disk)
    for _ in range(3):
        for i in range(12):
            np.testing.assert_array_equal(images(i), np.full((10, 10 + i, 1), i))
    counts = np.bincount(computed)
    kept = counts == 1
    assert set(counts) == {1, 3}
    assert sum(10 * (10 + i) for i in np.flatnonzero(kept)) <= 1000


@pytest.mark.parametrize("on_disk", [False, True])
def test_concurrent_threads_read_complete_images(on_disk):
    images = DecodedImages(lambda i: np.full((30, 30, 3), i, np.uint8), limit=10**6, on_disk=on_disk)
    wrong = []

    def look(seed):
        for i in np.random.default_rng(seed).integers(0, 200, 2000):
            image = images(int(i))
            if image.shape != (30, 30, 3) or (image != i).any():
                wrong.append(i)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_unwritable_cache_folder_raises(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CNNRECIPES_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="data.cache = 'disk' cannot write.*CNNRECIPES_CACHE"):
        DecodedImages(lambda i: np.zeros(1), limit=1, on_disk=True)
