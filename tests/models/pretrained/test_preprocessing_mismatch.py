"""The probe of the preprocessing, with real weights and photos."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.models import preprocessing_mismatch


@pytest.fixture(scope="module")
def model(shared) -> keras.Model:
    weights = shared / "weights" / "mobilenet_v2_0.35_224_imagenet_no_top.weights.h5"
    return cr.build("mobilenet_v2", alpha=0.35, weights=str(weights), input_shape=(224, 224, 3), classes=2)


@pytest.fixture(scope="module")
def photos(flowers) -> np.ndarray:
    """32 photos of roses, (32, 224, 224, 3), 0..255."""
    files = sorted((flowers / "rose").glob("*.jpg"))[:32]
    return np.stack([np.asarray(Image.open(file).convert("RGB").resize((224, 224)), np.float32) for file in files])


def test_right_images_are_silent(model, photos):
    assert preprocessing_mismatch(model, photos) is None
    assert preprocessing_mismatch(model, photos.astype(np.uint8)) is None


@pytest.mark.parametrize("scaled", [lambda x: x / 255, lambda x: x / 127.5 - 1], ids=["0..1", "-1..1"])
def test_scaled_images_are_found(model, photos, scaled):
    found = preprocessing_mismatch(model, scaled(photos))
    assert "unlike those of its pretraining" in found
    assert "0..255" in found


def test_hint_names_the_scale_of_the_images(model, photos):
    assert "multiplying them by 255 fits them" in preprocessing_mismatch(model, photos / 255)
    assert "mapping -1..1 to 0..255 fits them" in preprocessing_mismatch(model, photos / 127.5 - 1)
    assert "undoing their standardization fits them" in preprocessing_mismatch(model, (photos - 120) / 60)


def test_bgr_images_are_found(model, photos):
    assert "BGR" in preprocessing_mismatch(model, photos[..., ::-1])


def test_model_without_batch_norm_says_nothing(photos):
    plain = keras.Sequential([keras.Input((224, 224, 3)), keras.layers.Conv2D(4, 3)])
    assert preprocessing_mismatch(plain, photos / 255) is None


def test_images_of_another_size_are_refused(model):
    with pytest.raises(cr.ModelError, match=r"\(2, 8, 8, 3\)"):
        preprocessing_mismatch(model, np.zeros((2, 8, 8, 3)))


def test_fit_warns_of_bgr_images(shared, photos, tmp_path):
    weights = shared / "weights" / "mobilenet_v2_0.35_224_imagenet_no_top.weights.h5"
    data = (photos[..., ::-1].astype(np.uint8), np.arange(len(photos)) % 2)
    with pytest.warns(cr.CNNRecipesWarning, match="BGR"):
        cr.fit("features_photos", data, workdir=tmp_path, progress=False, **{"model.weights": str(weights)})


def test_bgr_is_found_in_images_that_are_ordered_by_class(shared, hymenoptera):
    """Also where a command computes features without a training."""
    weights = shared / "weights" / "mobilenet_v2_0.35_224_imagenet_no_top.weights.h5"
    files = [path for name in ("ants", "bees") for path in sorted((hymenoptera / "train" / name).glob("*.jpg"))[:40]]
    images = np.stack([np.asarray(Image.open(path).convert("RGB").resize((224, 224))) for path in files])
    data = (images[..., ::-1], np.repeat([0, 1], 40))
    with pytest.warns(cr.CNNRecipesWarning, match="BGR"):
        cr.transfer.cross_validate(
            "features_photos", data, folds=3, repeats=1, progress=False, **{"model.weights": str(weights)}
        )
