"""The artifact `model.keras`: bit-exact predictions, image files, invalid input, damaged and incomplete files."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnnrecipes as cr
from cnnrecipes import models
from cnnrecipes.data import batching
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.recipe import catalog
from cnnrecipes.runs.model_file import ENTRY
from cnnrecipes.runs.trained_model import Artifact, softmax


@pytest.fixture(scope="module")
def artifact(digits_run) -> Artifact:
    """The artifact of the digits run, loaded from its file."""
    return cr.load(digits_run.folder / "model.keras")


@pytest.fixture(scope="module")
def images(digits_run) -> np.ndarray:
    """The 179 validation images, (N, 8, 8, 1)."""
    split = open_source(None, digits_run.recipe.data).split("validation")
    return np.stack([split.read(i)[0] for i in range(len(split))])


@pytest.fixture(scope="module")
def small(digits_run, tmp_path_factory) -> Path:
    """The file of an untrained model of one stage with the recipe of the digits, which loads in a third of the time."""
    path = tmp_path_factory.mktemp("small") / "model.keras"
    spec = digits_run.recipe.model.model_copy(update={"depths": (1,), "widths": (16,)})
    model = models.build(spec, input_shape=(8, 8, 1), classes=10, mean=[78], std=[97])
    Artifact(model, digits_run.recipe, digits_run.class_names).save(path)
    return path


@pytest.fixture(scope="module")
def validated(digits_run, artifact) -> np.ndarray:
    """What `validation` gives for the digits."""
    return validation(artifact.model, digits_run.recipe.data)


def validation(model, spec) -> np.ndarray:
    """Probabilities of the validation split by Keras' forward pass over the pipeline's batches."""
    source = open_source(None, spec)
    split = source.split("validation")
    batches = batching.evaluation_batches(split, spec, len(source.class_names))
    logits = model.predict(batches.map(lambda images, labels, weights: images), verbose=0)
    return softmax(logits[: len(split)])


def in_class_order(prediction: cr.Prediction, class_names) -> list[float]:
    return [prediction.probabilities[name] for name in class_names]


@pytest.mark.parametrize("chunk", [1, 3, 31, 33, 179])
def test_predictions_are_bit_identical_to_validation(artifact, images, validated, chunk):
    """One by one, in lists of odd lengths, and all at once."""
    chunks = [list(images[i : i + chunk]) for i in range(0, len(images), chunk)]
    predicted = [in_class_order(p, artifact.class_names) for part in chunks for p in artifact.predict(part)]
    assert np.array_equal(np.float32(predicted), validated)


def test_predictions_do_not_depend_on_the_batch_without_onednn(digits_run, images, tmp_path):
    """An image has the same probabilities alone and in a batch."""
    np.save(tmp_path / "images.npy", images[:33])
    code = (
        "import sys, numpy as np, cnnrecipes as cr\n"
        "artifact, images = cr.load(sys.argv[1]), np.load(sys.argv[2])\n"
        "together, alone = artifact.predict(images), [artifact.predict(image) for image in images]\n"
        "assert together == alone\n"
        "assert together == artifact.predict(images[:7]) + artifact.predict(images[7:])\n"
    )
    command = [sys.executable, "-c", code, digits_run.folder / "model.keras", tmp_path / "images.npy"]
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def model_of_photos() -> keras.Model:
    """An untrained model of 32x32 RGB images and five classes; read-only."""
    spec = catalog.load("photos_from_scratch").change(**{"model.name": "resnet8"}).model
    return models.build(spec, input_shape=(32, 32, 3), classes=5, mean=[110] * 3, std=[70] * 3)


@pytest.mark.parametrize("how", [{"data.resize": "crop"}, {"data.resize": "pad"}, {"data.short_side": 40}])
def test_photo_file_predictions_are_bit_identical_to_validation(flowers, model_of_photos, tmp_path, how):
    """Decoding and resizing belong to the artifact."""
    recipe = catalog.load("photos_from_scratch").change(
        **{"data.name": str(flowers), "data.image_size": 32, "model.name": "resnet8", **how}
    )
    source = open_source(None, recipe.data)
    Artifact(model_of_photos, recipe, source.class_names).save(tmp_path / "model.keras")
    artifact, split = cr.load(tmp_path / "model.keras"), source.split("validation")
    paths = [split.images.items[i] for i in split.positions]
    predicted = [in_class_order(p, source.class_names) for p in artifact.predict(paths)]
    assert np.array_equal(np.float32(predicted), validation(artifact.model, recipe.data))


def test_predict_resizes_images_to_the_input_size(artifact, images):
    """The short side is scaled to the model's, the long side is center-cropped."""
    image, noise = images[0], np.full((8, 5, 1), 200, np.uint8)
    wide = np.concatenate([noise, image, noise], axis=1)
    assert artifact.predict(wide) == artifact.predict(image)
    assert artifact.predict(wide.transpose(1, 0, 2)) == artifact.predict(image.transpose(1, 0, 2))
    large = image.repeat(5, axis=0).repeat(5, axis=1)
    assert artifact.predict(large).name == artifact.predict(image).name
    assert artifact.predict([large, wide, image])[1:] == [artifact.predict(image)] * 2


IMAGE = np.full((8, 8, 1), 200, np.uint8)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros(8), r"shape \(8,\)"),
        (np.zeros((1, 1, 8, 8, 1)), r"shape \(1, 1, 8, 8, 1\)"),
        (np.zeros((0, 8, 8, 1)), r"shape \(0, 8, 8, 1\)"),
        (None, "an image has"),
        (IMAGE / 160, "1.25 with fractions, which is neither"),
        (IMAGE.astype(int) + 100, r"300\.\.300; give 0\.\.255"),
        (IMAGE.astype(int) - 300, r"-100\.\.-100; give 0\.\.255"),
        (np.full((8, 8), np.nan), "NaN"),
        (np.full((8, 8, 1), "a"), "type <U1"),
        (np.repeat(IMAGE, 3, axis=-1), r"3 channel\(s\).*trained on 1"),
        (np.repeat(IMAGE, 2, axis=-1), "2"),
        ([IMAGE, IMAGE / 160], "1.25 with fractions"),
        (np.repeat(IMAGE, 4, axis=-1), r"\(1, 8, 8, 4\).*RGBA"),
    ],
)
def test_array_that_is_not_an_image_raises(artifact, wrong, message):
    """The message has the value received and what is expected."""
    with pytest.raises(cr.DataError, match=message):
        artifact.predict(wrong)


def test_float_and_stacked_arrays_predict_like_uint8_images(artifact, images):
    """0..1, 0..255 with fractions, and grayscale stacks (N, H, W), which are not one image with W columns."""
    expected = artifact.predict(images[:5])
    assert artifact.predict(images[:5] / 255) == expected
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (5, 8, 8, 1))
    assert artifact.predict(np.clip(images[:5] + noise, 0, 255)) == expected
    assert artifact.predict(images[:5, :, :, 0]) == expected
    assert artifact.predict(images[0] / 255) == expected[0]


def test_images_with_values_0_and_1_warn(artifact):
    with pytest.warns(cr.CNNRecipesWarning, match=r"look like 0\.\.1.*give images \* 255"):
        artifact.predict((IMAGE > 9).astype(np.uint8))


def test_predict_accepts_folders_and_glob_patterns(artifact, images, tmp_path):
    """Bit-identical to each file alone; unreadable files are reported and skipped."""
    (tmp_path / "more").mkdir()
    paths = [tmp_path / f"{i:02}.png" for i in range(20)] + [tmp_path / "more" / "x.png"]
    for path, image in zip(paths, images[:21], strict=True):
        path.write_bytes(tf.io.encode_png(image).numpy())
    (tmp_path / "cut.png").write_bytes(paths[0].read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.warns(
        cr.CNNRecipesWarning, match=r"1 of 22 images cannot be read and are left out, for example '.*cut\.png'"
    ):
        found = artifact.predict(tmp_path)
    assert [one.file for one in found] == [str(path) for path in paths]
    assert found == artifact.predict(images[:21])
    assert [p.file for p in artifact.predict(str(tmp_path / "1*.png"))] == [str(path) for path in paths[10:20]]
    assert len(artifact.predict(f"{tmp_path}/**/x.png")) == 1
    assert artifact.predict(paths[3]).file == str(paths[3])
    predicted, unreadable = artifact.predict_files([tmp_path / "more", tmp_path / "cut.png", f"{tmp_path}/0[01].png"])
    assert [one.file for one in predicted] == [str(path) for path in (paths[20], *paths[:2])]
    assert list(unreadable) == [str(tmp_path / "cut.png")]
    for nothing in (str(tmp_path / "*.jpg"), str(tmp_path / "*.txt")):
        with pytest.raises(cr.DataError, match="matches .*give another"):
            artifact.predict(nothing)
    (tmp_path / "empty").mkdir()
    with pytest.raises(cr.DataError, match="empty' has no images"):
        artifact.predict(tmp_path / "empty")


def test_unreadable_image_file_raises_with_its_name(artifact, tmp_path):
    """Missing, a folder, text, empty, truncated."""
    jpeg = tf.io.encode_jpeg(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).numpy()
    for name, content in {"text.jpg": b"hello", "empty.png": b"", "cut.jpg": jpeg[: len(jpeg) // 2]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(cr.DataError, match=name):
            artifact.predict(str(tmp_path / name))
    with pytest.raises(cr.DataError, match=r"missing\.jpg.*does not exist"):
        artifact.predict(tmp_path / "missing.jpg")
    with pytest.warns(cr.CNNRecipesWarning, match="3 of 3 images cannot be read"):
        assert artifact.predict([IMAGE, tmp_path]) == artifact.predict([IMAGE])


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 8]) + content[middle + 8 :]


DAMAGES = {
    "half": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-10],
    "without its start": lambda content: content[100:],
    "flipped": flipped,
    "zeros": lambda content: bytes(len(content)),
    "empty": lambda content: b"",
    "text": lambda content: b"not a model\n" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_damaged_artifact_raises_with_its_path(digits_run, tmp_path, damage):
    """Also when loaded through its run."""
    shutil.copy(digits_run.folder / "recipe.toml", tmp_path)
    path = tmp_path / "model.keras"
    path.write_bytes(damage((digits_run.folder / "model.keras").read_bytes()))
    with pytest.raises(cr.RunError, match=str(path)):
        cr.load(path)
    with pytest.raises(cr.RunError, match=str(path)):
        cr.load(tmp_path).predict(IMAGE)


def test_flipped_byte_is_detected_or_has_no_effect(small, images, tmp_path):
    """At any position: either a checksum covers it, or it is not used."""
    content, path = small.read_bytes(), tmp_path / "model.keras"
    expected = cr.load(small).probabilities(images[:3])
    for position in np.random.default_rng(0).integers(0, len(content), 12).tolist():
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        try:
            probabilities = cr.load(path).probabilities(images[:3])
        except cr.RunError as error:
            assert str(path) in str(error)  # noqa: PT017 (one of two right outcomes)
        else:
            assert np.array_equal(probabilities, expected)


@pytest.mark.parametrize("entry", [None, "{", "[]", "{}", '{"format": 1, "class_names": ["a", "b"], "recipe": {}}'])
def test_keras_file_without_valid_metadata_raises(digits_run, tmp_path, entry):
    """Another program's model, or an invalid cnnrecipes.json."""
    path = tmp_path / "plain.keras"
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]).save(path)
    if entry is not None:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(ENTRY, entry)
    with pytest.raises(cr.CNNRecipesError, match=str(path)):
        cr.load(path)


def test_metadata_holds_class_names_and_recipe(digits_run):
    """The file alone is enough to predict."""
    with zipfile.ZipFile(digits_run.folder / "model.keras") as archive:
        about = json.loads(archive.read(ENTRY))
    assert about["class_names"] == [str(digit) for digit in range(10)]
    assert about["recipe"] == digits_run.recipe.to_dict()


def test_save_is_atomic(digits_run, artifact, tmp_path):
    """An error after the weights are written leaves the old file, and no temporary file."""
    path = tmp_path / "model.keras"
    artifact.save(path)
    before = path.read_bytes()
    unwritable = Artifact(artifact.model, artifact.recipe, [object()] * 10)  # not serializable as JSON
    with pytest.raises(TypeError):
        unwritable.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.keras"]


def test_saving_a_loaded_artifact_gives_the_same_model(artifact, images, tmp_path):
    """Predictions, recipe and class names are equal."""
    artifact.save(tmp_path / "again.keras")
    again = cr.load(tmp_path / "again.keras")
    assert (again.recipe, again.class_names) == (artifact.recipe, artifact.class_names)
    assert np.array_equal(again.probabilities(images), artifact.probabilities(images))


def with_entry(source: Path, path: Path, entry: bytes) -> Path:
    """A copy of an artifact with another cnnrecipes.json."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, entry if name == ENTRY else old.read(name))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class_names": ["a", "b"]}, r"it has 2 class names, and its model gives \(None, 10\)"),
        ({"class_names": [str(i) for i in range(11)]}, "it has 11 class names"),
        ({"class_names": ["a"] * 10}, "repeat a name"),
        ({"class_names": list(range(10))}, "not a list of strings"),
        ({"class_names": "0123456789"}, "not a list of strings"),
        ({"recipe": []}, "the recipe in its cnnrecipes.json is not a table"),
    ],
)
def test_class_names_that_do_not_fit_the_model_are_refused_on_load(small, tmp_path, change, words):
    with zipfile.ZipFile(small) as archive:
        about = json.loads(archive.read(ENTRY))
    path = with_entry(small, tmp_path / "changed.keras", json.dumps(about | change).encode())
    with pytest.raises(cr.RunError, match=words):
        cr.load(path)


def test_oversized_metadata_is_refused_by_declared_and_actual_size(digits_run, tmp_path):
    """64 MiB of blanks, compressed to a few kilobytes; and the same with a false declared size."""
    huge = with_entry(digits_run.folder / "model.keras", tmp_path / "huge.keras", b" " * 2**26)
    with pytest.raises(cr.RunError, match=r"has 67,108,864 bytes, at most 16,777,216"):
        cr.load(huge)
    declared, lie = struct.pack("<L", 2**26), struct.pack("<L", 100)
    assert declared in huge.read_bytes()
    huge.write_bytes(huge.read_bytes().replace(declared, lie))
    with pytest.raises(cr.RunError, match=re.escape(str(huge))):
        cr.load(huge)
