"""Test-time augmentation: each view, their average, and what it does to a trained model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import cnnrecipes as cr
from cnnrecipes import tta, views
from cnnrecipes.artefact import Artefact
from cnnrecipes.data.images import resize
from cnnrecipes.errors import DataError, ModelError, RecipeError
from cnnrecipes.recipe import Data

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (70, 90, 3), dtype=np.uint8)
SPEC = Data(name="x", image_size=32)


@pytest.fixture(scope="module")
def artefact():
    """A model of 32 x 32 images, untrained: its numbers are as good as any."""
    recipe = cr.Recipe.from_dict(
        {"data": {"name": "arrays", "image_size": 32}, "model": {"name": "resnet8"}, "train": {"epochs": 1}}, "test"
    )
    return Artefact(cr.build("resnet8", input_shape=(32, 32, 3), classes=4), recipe, list("abcd"))


def look(text):
    return tta.look(IMAGE, views.parse_views(text)[0], (32, 32, 3), SPEC)


PLAIN = resize(tf.constant(IMAGE), 32, "crop").numpy()
SQUARE = resize(tf.constant(IMAGE), 40, "crop").numpy()


def test_views_are_slices_and_mirror_images():
    np.testing.assert_array_equal(look("centre"), [PLAIN])
    np.testing.assert_array_equal(look("flip_lr"), [PLAIN, PLAIN[:, ::-1]])
    crops = [SQUARE[:32, :32], SQUARE[:32, 8:], SQUARE[8:, :32], SQUARE[8:, 8:], SQUARE[4:36, 4:36]]
    np.testing.assert_array_equal(look("five_crop(40)"), crops)
    np.testing.assert_array_equal(look("ten_crop(short_side=40)"), crops + [crop[:, ::-1] for crop in crops])
    np.testing.assert_array_equal(look("centre(40)"), [SQUARE[4:36, 4:36]])
    plain, down, up = look("shift(3)")
    np.testing.assert_array_equal(plain, PLAIN)
    np.testing.assert_array_equal(down[:-3, :-3], PLAIN[3:, 3:])
    np.testing.assert_array_equal(up[3:, 3:], PLAIN[:-3, :-3])


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_views_are_averaged(artefact, average):
    seen = look("flip_lr") + look("five_crop(40)")
    logits = artefact.logits(np.stack(seen)).astype(float)
    mean = logits.mean(0) if average == "logits" else np.log(np.exp(tta.log_softmax(logits)).mean(0))
    found = tta.Scorer(artefact, ["flip_lr", "five_crop(40)"], average).scores([IMAGE])
    np.testing.assert_allclose(next(found), tta.log_softmax(mean), atol=1e-6)


def test_many_images_are_scored_as_each_alone(artefact):
    images = [RANDOM.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8) for i in range(19)]
    scorer = tta.Scorer(artefact, ["ten_crop", "flip_lr"])
    together = list(scorer.scores(images))
    for i in (0, 15, 16, 18):
        np.testing.assert_array_equal(next(scorer.scores([images[i]])), together[i])


def test_a_whole_image_of_the_models_size_is_the_plain_one(artefact):
    square = RANDOM.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = next(tta.Scorer(artefact, "multi_scale([32])").scores([square]))
    # Other batch shapes, other sums: equal to float32's rounding.
    np.testing.assert_allclose(
        found, tta.log_softmax(artefact.logits(square[None])[0].astype(float)), rtol=1e-5, atol=1e-5
    )


def test_whole_images_keep_their_proportions(artefact):
    whole = tta.fully_convolutional(artefact.model)
    scaled = np.round(tf.image.resize(IMAGE, (48, 62), antialias=True)).astype(np.uint8)
    found = next(tta.Scorer(artefact, "multi_scale([48])").scores([IMAGE]))
    np.testing.assert_allclose(found, tta.log_softmax(whole(scaled[None]).numpy()[0].astype(float)), atol=1e-6)


@pytest.mark.parametrize("name", ["resnet20", "vgg11", "fast_cnn", "resnext50"])
@pytest.mark.parametrize("norm", [None, "group"])
def test_the_twin_for_whole_images_has_the_models_weights(name, norm):
    options = {"head": "average"} if name.startswith("vgg") else {}
    model = cr.build(name, input_shape=(32, 32, 3), classes=4, **options, **({"norm": norm} if norm else {}))
    images = RANDOM.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_allclose(tta.fully_convolutional(model)(images), model(images, training=False), atol=1e-4)


def test_a_head_of_one_size_cannot_look_at_whole_images():
    model = cr.build("vgg11", input_shape=(32, 32, 3), classes=4, head="classic")
    with pytest.raises(ModelError, match='one size only.*head = "average"'):
        tta.fully_convolutional(model)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("flip", "unknown view 'flip'.*flip_lr"),
        (["centre(short_side=16)"], "short_side 16 is below the model's size 32"),
        ("shift(32)", "32 pixels leaves nothing"),
        ("shift(-1)", "pixels is -1"),
        ("multi_scale([])", "short_sides"),
        ([], r"tta is \[\]; give a view"),
        (3, "tta is 3; give a view"),
    ],
)
def test_views_that_cannot_be_are_named(artefact, given, words):
    with pytest.raises(RecipeError, match=words):
        tta.Scorer(artefact, given)
    if given:
        with pytest.raises(RecipeError, match=words):
            artefact.predict(IMAGE, tta=given)


def test_an_unknown_average_is_named(artefact):
    with pytest.raises(RecipeError, match="average is 'median'; allowed: probabilities, logits"):
        artefact.predict(IMAGE, tta="flip_lr", average="median")


def test_evaluate_says_both(digits_run):
    found = digits_run.evaluate(tta="shift(1)")
    assert found["plain"] == digits_run.evaluate()
    assert found["n"] == found["plain"]["n"] == 359
    assert found["cross_entropy"] != found["plain"]["cross_entropy"]
    again = digits_run.evaluate(tta=["shift(1)"])
    assert again == found


def test_a_short_side_holds_for_validation_and_prediction_alike(flowers, tmp_path):
    changes = {"data.image_size": 24, "data.short_side": 32, "model.name": "resnet8", "train.epochs": 1}
    run = cr.fit(
        "resnet20_photos", data=flowers, workdir=tmp_path, progress=False, **changes, **{"train.warmup": "0 epochs"}
    )
    files = sorted(flowers.rglob("*.jpg"))[::20]
    plain = run.predict([str(file) for file in files])
    centre = run.predict([str(file) for file in files], tta="centre(32)")
    for one, other in zip(plain, centre, strict=True):
        assert one.name == other.name
        assert one.probability == pytest.approx(other.probability, abs=1e-6)
    assert run.evaluate()["accuracy"] == run.metrics["validation"]["accuracy"]


@pytest.mark.parametrize("changes", [{"data.short_side": 16}, {"data.short_side": 64, "data.resize": "pad"}])
def test_a_short_side_that_cannot_be_is_refused(changes):
    with pytest.raises((RecipeError, DataError), match="short_side"):
        cr.fit("resnet20_cifar", **changes)
