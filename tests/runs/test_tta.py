"""Test-time augmentation: views, their average, and evaluation with views."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

import cnnrecipes as cr
from cnnrecipes.augment import tta_views
from cnnrecipes.data.images.decode import resize
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError, ModelError, RecipeError
from cnnrecipes.recipe.schema import Data
from cnnrecipes.runs import tta
from cnnrecipes.runs.evaluation import _originals, evaluate
from cnnrecipes.runs.trained_model import Artifact

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (70, 90, 3), dtype=np.uint8)
SPEC = Data(name="x", image_size=32)


@pytest.fixture(scope="module")
def artifact():
    """An untrained model of 32x32 images."""
    recipe = cr.Recipe.from_dict(
        {"data": {"name": "arrays", "image_size": 32}, "model": {"name": "resnet8"}, "train": {"epochs": 1}}, "test"
    )
    return Artifact(cr.build("resnet8", input_shape=(32, 32, 3), classes=4), recipe, list("abcd"))


def of_size(height, width, name="resnet8", **options):
    """An untrained model of the given input size."""
    recipe = cr.Recipe.from_dict(
        {"data": {"name": "arrays"}, "model": {"name": name, **options}, "train": {"epochs": 1}}, "test"
    )
    statistics = {"mean": [128] * 3, "std": [74] * 3}
    model = cr.build(recipe.model, input_shape=(height, width, 3), classes=4, **statistics)
    return Artifact(model, recipe, list("abcd"))


def look(text):
    return tta.look(IMAGE, tta_views.parse_views(text)[0], (32, 32, 3), SPEC)


PLAIN = resize(tf.constant(IMAGE), 32, "crop").numpy()
SQUARE = resize(tf.constant(IMAGE), 40, "crop").numpy()


def test_views_are_slices_and_mirror_images():
    np.testing.assert_array_equal(look("center"), [PLAIN])
    np.testing.assert_array_equal(look("flip_lr"), [PLAIN, PLAIN[:, ::-1]])
    crops = [SQUARE[:32, :32], SQUARE[:32, 8:], SQUARE[8:, :32], SQUARE[8:, 8:], SQUARE[4:36, 4:36]]
    np.testing.assert_array_equal(look("five_crop(40)"), crops)
    np.testing.assert_array_equal(look("ten_crop(short_side=40)"), crops + [crop[:, ::-1] for crop in crops])
    np.testing.assert_array_equal(look("center(40)"), [SQUARE[4:36, 4:36]])
    plain, down, up = look("shift(3)")
    np.testing.assert_array_equal(plain, PLAIN)
    np.testing.assert_array_equal(down[:-3, :-3], PLAIN[3:, 3:])
    np.testing.assert_array_equal(up[3:, 3:], PLAIN[:-3, :-3])


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_views_are_averaged_as_probabilities_or_logits(artifact, average):
    seen = look("flip_lr") + look("five_crop(40)")
    logits = artifact.logits(np.stack(seen)).astype(float)
    mean = logits.mean(0) if average == "logits" else np.log(np.exp(log_softmax(logits, axis=-1)).mean(0))
    found = tta.Scorer(artifact, ["flip_lr", "five_crop(40)"], average).scores([IMAGE])
    np.testing.assert_allclose(next(found), log_softmax(mean), atol=1e-6)


def test_underflowing_probabilities_give_finite_scores(artifact):
    images = keras.Input((32, 32, 3))
    logits = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(images))
    sure = Artifact(keras.Model(images, logits), artifact.recipe, artifact.class_names)
    sure.model.set_weights([np.zeros((3, 4)), np.float32([2000, 0, 0, 0])])
    found = next(tta.Scorer(sure, "flip_lr").scores([IMAGE]))
    np.testing.assert_allclose(found, [0, -2000, -2000, -2000])


def test_ten_crop_equals_five_crop_for_a_flip_invariant_model(artifact):
    """A model of mean colors; its logits are computed with NumPy."""
    images = keras.Input((32, 32, 3))
    logits = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(images) / 255)
    symmetric = Artifact(keras.Model(images, logits), artifact.recipe, artifact.class_names)
    kernel, bias = symmetric.model.get_weights()
    five, ten = (
        next(tta.Scorer(symmetric, f"{name}(40)", "logits").scores([IMAGE])) for name in ("five_crop", "ten_crop")
    )
    mean = np.mean([crop.mean((0, 1)) / 255 @ kernel + bias for crop in look("five_crop(40)")], axis=0)
    np.testing.assert_allclose(ten, five, atol=1e-6)
    np.testing.assert_allclose(five, log_softmax(mean), atol=1e-6)


def test_batched_scores_equal_single_image_scores(artifact):
    images = [RANDOM.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8) for i in range(19)]
    scorer = tta.Scorer(artifact, ["ten_crop", "flip_lr"])
    together = list(scorer.scores(images))
    for i in (0, 15, 16, 18):
        np.testing.assert_array_equal(next(scorer.scores([images[i]])), together[i])


def test_multi_scale_at_the_model_size_is_the_plain_forward_pass(artifact):
    square = RANDOM.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = next(tta.Scorer(artifact, "multi_scale([32])").scores([square]))
    # Other batch shapes sum in another order: equal up to float32 rounding.
    np.testing.assert_allclose(found, log_softmax(artifact.logits(square[None])[0].astype(float)), rtol=1e-5, atol=1e-5)


def test_multi_scale_keeps_the_aspect_ratio(artifact):
    whole = tta.fully_convolutional(artifact.model)
    scaled = np.round(tf.image.resize(IMAGE, (48, 62), antialias=True)).astype(np.uint8)
    found = next(tta.Scorer(artifact, "multi_scale([48])").scores([IMAGE]))
    # Equal up to float32 rounding, as in the test above.
    np.testing.assert_allclose(found, log_softmax(whole(scaled[None]).numpy()[0].astype(float)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [32, 224])
def test_default_scales_are_those_of_the_paper_relative_to_the_input_size(size):
    paper = np.array([224, 256, 384, 480, 640])
    np.testing.assert_allclose(tta_views.MultiScale().whole_sides(size), paper * size / 224, atol=0.5)
    assert tta_views.MultiScale(short_sides=(40,)).whole_sides(size) == (40,)


def test_multi_scale_batches_images_of_one_shape_with_identical_scores(artifact, monkeypatch):
    shapes = [(40, 50), (50, 40), (40, 50), (33, 90), (40, 50), (32, 32), (50, 40)]
    images = [RANDOM.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    scorer = tta.Scorer(artifact, "multi_scale")
    alone = [next(scorer.scores([image])) for image in images]
    seen, whole = [], scorer._whole
    monkeypatch.setattr(scorer, "_whole", lambda batch: seen.append(tuple(batch.shape)) or whole(batch))
    np.testing.assert_array_equal(list(scorer.scores(images)), alone)
    assert len(seen) == 5 * len(set(shapes))  # scales, shapes
    np.testing.assert_array_equal(list(scorer.scores(images[::-1])), alone[::-1])


def test_multi_scale_batch_has_a_bounded_number_of_pixels():
    assert tta.whole_batch(32, 32) == 16
    assert tta.whole_batch(128, 170) == 2
    for side in (4, 100, 300, 1000, 2890, 2900, 4096):
        rows = tta.whole_batch(side, side)
        assert rows in (1, 2, 4, 8, 16)
        assert rows * side**2 <= max(2**16, min(2 * side**2, tta.MAX_WHOLE))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet8", {"norm": "group", "squeeze_excite": 4, "stochastic_depth": 0.2}),
        ("resnet8", {"norm": "layer", "variant": "v2", "head": "max"}),
        ("resnet8", {"norm": "instance", "shortcut": "A", "per_image": True}),
        ("resnext50", {"depths": [1, 1, 1, 1], "stem": "imagenet", "pool": "blur", "norm": "channel"}),
        ("vgg11", {"head": "average", "mean": [100] * 3, "std": [50] * 3}),
        ("fast_cnn", {}),
    ],
)
def test_fully_convolutional_model_shares_the_weights(name, options):
    """It is not retraced for each image size."""
    model = cr.build(name, input_shape=(32, 32, 3), classes=4, **options)
    images, twin = RANDOM.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8), tta.fully_convolutional(model)
    np.testing.assert_allclose(twin(images), model(images, training=False), rtol=1e-5, atol=1e-5)
    assert twin(RANDOM.integers(0, 256, (1, 45, 62, 3), dtype=np.uint8)).shape == (1, 4)
    assert isinstance(twin, tf.types.experimental.ConcreteFunction)


def test_fully_convolutional_raises_for_a_flatten_head():
    model = cr.build("vgg11", input_shape=(32, 32, 3), classes=4, head="classic")
    with pytest.raises(ModelError, match='one size only.*head_flatten.*head = "average"'):
        tta.fully_convolutional(model)


def test_image_too_small_for_the_model_raises():
    with pytest.raises(ModelError, match="vgg11 reduces an image of short side 16 to nothing"):
        tta.Scorer(of_size(32, 32, "vgg11", head="average"), "multi_scale([64, 16])")


def test_image_too_long_for_the_scale_raises(artifact):
    with pytest.raises(DataError, match="1x90000 pixels would be 640x57600000"):
        artifact.predict(IMAGE[:1, :1].repeat(90000, axis=1), tta="multi_scale([640])")


def test_rectangular_model_has_views_of_its_size():
    oblong, image = of_size(24, 40), RANDOM.integers(0, 256, (24, 40, 3), dtype=np.uint8)
    logits = oblong.logits(np.stack([image, image[:, ::-1]])).astype(float)
    found = next(tta.Scorer(oblong, "flip_lr", "logits").scores([image]))
    np.testing.assert_allclose(found, log_softmax(logits.mean(0)), atol=1e-6)
    found = next(tta.Scorer(oblong, "multi_scale([24])").scores([image]))
    np.testing.assert_allclose(found, log_softmax(logits[0]), atol=1e-5)
    # The crops of an image of the size of the larger region are its corners and its center.
    large = RANDOM.integers(0, 256, (27, 45, 3), dtype=np.uint8)
    crops = [large[top : top + 24, left : left + 40] for top, left in [(0, 0), (0, 5), (3, 0), (3, 5), (1, 2)]]
    shown = tta.look(large, tta_views.FiveCrop(), (24, 40, 3), oblong.recipe.data)
    np.testing.assert_array_equal(shown, crops)
    middle = tta.look(large, tta_views.Center(short_side=27), (24, 40, 3), oblong.recipe.data)[0]
    np.testing.assert_array_equal(middle, large[1:25, 2:42])
    for text in ("five_crop(20)", "center(20)"):
        with pytest.raises(RecipeError, match="short_side 20 is below the model's size 24"):
            oblong.predict(image, tta=text)
    covering = resize(tf.constant(PLAIN), (24, 40), "crop").numpy()
    assert oblong.predict(PLAIN, tta="flip_lr") == oblong.predict(covering, tta="flip_lr")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("flip", "unknown view 'flip'.*flip_lr"),
        (["center(short_side=16)"], "short_side 16 is below the model's size 32"),
        ("shift(32)", "moves images by 32 pixels, and their short side is 32; give fewer"),
        ("shift(-1)", "pixels is -1"),
        ("ten_crop(short_side=-40)", "short_side is -40"),
        ("ten_crop(5000)", "short_side is 5000.*4096"),
        ("multi_scale([])", "short_sides"),
        ([], r"tta is \[\]; give one or several of the views"),
        ("", "cannot read the view ''"),
        (3, "tta is 3; give one or several of the views"),
    ],
)
def test_invalid_views_raise(artifact, given, words):
    with pytest.raises(RecipeError, match=words):
        tta.Scorer(artifact, given)
    with pytest.raises(RecipeError, match=words):
        artifact.predict(IMAGE, tta=given)


def test_unknown_average_raises(artifact):
    with pytest.raises(RecipeError, match="average is 'median'; allowed: probabilities, logits"):
        artifact.predict(IMAGE, tta="flip_lr", average="median")


def test_average_without_views_raises(artifact):
    with pytest.raises(RecipeError, match="average is 'logits', and there are no views"):
        artifact.predict(IMAGE, average="logits")


def test_evaluate_with_tta_reports_plain_metrics_too(digits_run):
    found = digits_run.evaluate(tta="shift(1)")
    assert found["plain"] == digits_run.evaluate()
    assert found["n"] == found["plain"]["n"] == 359
    assert found["cross_entropy"] != found["plain"]["cross_entropy"]
    assert cr.load(digits_run.folder).evaluate(tta=["shift(1)"]) == found


def test_center_view_alone_equals_plain_evaluation(digits_run):
    found = digits_run.evaluate(tta="center")
    assert found["accuracy"] == found["plain"]["accuracy"]
    assert found["cross_entropy"] == pytest.approx(found["plain"]["cross_entropy"], rel=1e-12)


def test_tta_predictions_are_bit_identical_after_reload(digits_run):
    """Ten crops of digits enlarged from 8 to 9 pixels, among other views."""
    views = ["ten_crop", "flip_lr", "shift(1)", "multi_scale([8, 12])"]
    images = RANDOM.integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    first, again = (cr.load(digits_run.folder).predict(images, tta=views) for _ in range(2))
    assert first == again


def test_missing_photo_raises_with_its_name(flowers, artifact):
    split = open_source(str(flowers), SPEC).split("validation")
    split.images.items[int(split.positions[3])] = str(flowers / "rose" / "gone.jpg")
    with pytest.raises(DataError, match=r"cannot read .*gone\.jpg"):
        list(_originals(split, 3))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data.short_side": 16}, "data: short_side 16 is below image_size 32; give at least that$"),
        ({"data.short_side": 64, "data.resize": "pad"}, "data: short_side 64 is for resize = 'crop'; leave"),
    ],
)
def test_invalid_short_side_is_refused(changes, words):
    with pytest.raises(RecipeError, match=words):
        cr.fit("resnet20_cifar", **changes)


@pytest.mark.parametrize(("shape", "short_side"), [((8, 8), 6), ((8, 6), 12)])
def test_short_side_of_arrays_requires_image_size(tmp_path, shape, short_side):
    data = (RANDOM.integers(0, 256, (20, *shape, 1), dtype=np.uint8), np.arange(20) % 2)
    with pytest.raises(DataError, match=f"{shape[0]}x{shape[1]}.*short_side = {short_side}.*data.image_size"):
        cr.fit("resnet8_digits", data=data, workdir=tmp_path, progress=False, **{"data.short_side": short_side})


@pytest.fixture(scope="module")
def of_16():
    """An untrained model of 16x16 images; read-only."""
    return of_size(16, 16)


@pytest.mark.parametrize("changes", [{"resize": "pad"}, {"short_side": 20}, {"short_side": 16}])
def test_predict_and_evaluate_resize_arrays_alike(of_16, changes):
    """Predictions of arrays of another size match the evaluation, and the center view is the plain image."""
    images, labels = RANDOM.integers(0, 256, (40, 24, 30, 3), dtype=np.uint8), np.arange(40) % 4
    recipe = of_16.recipe.change(**{"data.image_size": 16} | {f"data.{key}": to for key, to in changes.items()})
    sized = Artifact(of_16.model, recipe, of_16.class_names)
    source = open_source((images, labels), sized.recipe.data.model_copy(update={"validation": 0.0}))
    found = evaluate(sized, source.split("train"), "center")
    predicted = sized.predict(images)
    assert np.mean([p.name == "abcd"[label] for p, label in zip(predicted, labels, strict=True)]) == found["accuracy"]
    truths = [p.probabilities["abcd"[label]] for p, label in zip(predicted, labels, strict=True)]
    assert found["cross_entropy"] == pytest.approx(-np.log(truths).mean(), rel=1e-5)
    assert found["plain"]["cross_entropy"] == pytest.approx(found["cross_entropy"], rel=1e-12)
