"""`model.weights`: files of Keras, artifacts and runs; errors for weights that do not fit."""

from __future__ import annotations

import http.server
import importlib
import threading
import time
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from adaptation import NARROW

import cnnrecipes as cr
from cnnrecipes._support.locks import locked
from cnnrecipes.models import Backbone
from cnnrecipes.models.pretrained.imagenet_weights import _noting_download
from cnnrecipes.models.pretrained.weights import set_backbone_weights
from cnnrecipes.recipe import schema

SIZE = 32
SPEC = {"alpha": 0.35, "input_shape": (SIZE, SIZE, 3), "classes": 3}


def stock(top: bool = False, alpha: float = 0.35, classes: int = 5) -> keras.Model:
    keras.utils.set_random_seed(3)
    more = {"classes": classes} if top else {}
    return keras.applications.MobileNetV2(
        weights=None, include_top=top, alpha=alpha, input_shape=(SIZE, SIZE, 3), **more
    )


def write(model: keras.Model, kind: str, folder) -> str:
    """A file of Keras' model in one of Keras' formats."""
    path = folder / {"weights": "m.weights.h5", "legacy": "m.h5", "keras": "m.keras"}[kind.split("_")[0]]
    if kind.startswith("weights"):
        model.save_weights(path)
    else:
        model.save(path)
    return str(path)


@pytest.fixture(scope="module")
def stocks() -> dict[bool, keras.Model]:
    """Keras' model without its own head, and with it; read-only."""
    return {top: stock(top) for top in (False, True)}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """One model, built once, whose weights each test sets."""
    return cr.build("mobilenet_v2", **SPEC)


@pytest.fixture(scope="module")
def load(model):
    """`cr.build(..., weights=path)` of that model: a function from the path to the model."""

    def load(path) -> keras.Model:
        for weight in model.weights:
            weight.assign(tf.zeros_like(weight.value))  # not those of the file before
        set_backbone_weights(model, schema.Model(name="mobilenet_v2", alpha=SPEC["alpha"], weights=str(path)))
        return model

    return load


def kernels(model: keras.Model) -> list[np.ndarray]:
    return [weight.numpy() for weight in Backbone.of(model).model.weights]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("kind", ["weights", "weights_top", "legacy", "legacy_top", "keras", "keras_top"])
def test_backbone_gets_the_weights_of_each_format(kind, stocks, load, tmp_path):
    model = load(write(stocks["top" in kind], kind, tmp_path))
    expected = stocks["top" in kind].get_weights()
    for mine, theirs in zip(kernels(model), expected, strict=False):
        np.testing.assert_array_equal(mine, theirs)


def test_shared_imagenet_weights_give_the_features_of_keras(shared):
    path = shared / "weights" / "mobilenet_v2_0.35_224_imagenet_no_top.weights.h5"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the shared data")
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    model = cr.build("mobilenet_v2", weights=str(path), alpha=0.35, input_shape=(64, 96, 3), classes=2)
    theirs = keras.applications.MobileNetV2(weights=None, include_top=False, alpha=0.35, input_shape=(64, 96, 3))
    theirs.load_weights(path)
    expected = theirs(keras.applications.mobilenet_v2.preprocess_input(images.astype("float32"))).numpy()
    found = Backbone.of(model).model(images).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_artifact_gives_its_backbone_and_its_head_if_the_classes_are_as_many(model, tmp_path):
    trained, random = model, np.random.default_rng(0)
    for weight in trained.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))  # other values than any that are drawn
    trained.save(tmp_path / "model.keras")
    same = cr.build("mobilenet_v2", weights=str(tmp_path / "model.keras"), **SPEC)
    for mine, theirs in zip(same.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    larger = cr.build("mobilenet_v2", weights=str(tmp_path), **{**SPEC, "classes": 4, "input_shape": (64, 48, 3)})
    for mine, theirs in zip(kernels(larger), kernels(trained), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert larger.get_layer("logits").kernel.shape == (1280, 4)


def test_run_of_an_own_architecture_is_a_backbone(pretrained):
    run = pretrained
    shape = run.artifact.input_shape
    narrow = {key.removeprefix("model."): value for key, value in NARROW.items()}
    model = cr.build("resnet8", weights=str(run.folder), input_shape=shape, classes=7, **narrow)
    for mine, theirs in zip(kernels(model)[3:], kernels(run.model)[-len(kernels(model)) + 3 :], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(cr.ModelError, match="resnet8 whose layer .* and resnet14 here"):
        cr.build("resnet14", weights=str(run.folder), input_shape=shape, classes=7)


def test_run_on_gray_images_is_refused_for_rgb_with_the_reason(digits_run):
    words = "was trained on gray images, and the images here are RGB; set data.channels = 1, or give weights of"
    with pytest.raises(cr.ModelError, match=words):
        cr.build("resnet8", weights=str(digits_run.folder), input_shape=(8, 8, 3), classes=7)


def test_unfinished_run_is_named_with_the_command_to_finish_it(load, tmp_path):
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(cr.ModelError, match=r"an unfinished run: finish it with `cnnrecipes resume"):
        load(tmp_path)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("weights") / "narrow.weights.h5"
    stock(alpha=0.5).save_weights(path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        (
            "mobilenet_v2",
            {},
            "block_1_project has the shapes .*alpha 0.35.*These are weights of model.alpha = 0.5: set that",
        ),
        (
            "mobilenet",
            {"alpha": 0.25},
            "does not fit mobilenet with alpha 0.25: .* in the file. "
            'These are weights of model.name = "mobilenet_v2" with model.alpha = 0.5: set that',
        ),
        ("efficientnet_v2_b0", {"alpha": None}, 'of model.name = "mobilenet_v2" with model.alpha = 0.5: set that'),
        ("resnet8", {"alpha": None}, "weights alone, which resnet8 cannot take.*give the folder of a run"),
    ],
)
def test_weights_of_another_width_or_family_are_refused(name, changes, words, narrow):
    with pytest.raises(cr.ModelError, match=words):
        cr.build(name, weights=narrow, **{**SPEC, **changes})


def test_weights_of_another_variant_are_recognized(tmp_path):
    keras.applications.VGG19(weights=None, include_top=False, input_shape=(32, 32, 3)).save_weights(
        tmp_path / "vgg19.weights.h5"
    )
    with pytest.raises(cr.ModelError, match='These are weights of model.name = "keras_vgg19": set that'):
        cr.build("keras_vgg16", weights=str(tmp_path / "vgg19.weights.h5"), input_shape=(32, 32, 3), classes=2)


def test_weights_of_another_family_with_a_head_are_recognized(stocks, tmp_path):
    path = write(stocks[True], "weights_top", tmp_path)
    with pytest.raises(cr.ModelError, match='of model.name = "mobilenet_v2" with model.alpha = 0.35: set that'):
        cr.build("keras_vgg16", weights=path, input_shape=(32, 32, 3), classes=2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, 'does not exist; give "none", "imagenet", or the path'),
        (b"", "is an empty file: download it again"),
        (b"<!DOCTYPE html><html>404</html>", r"is a web page \(HTML\).*download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        (b"0123456789", "is neither an HDF5 nor a .keras file"),
        (b"PK\x03\x04 and nothing", r"is damaged or incomplete \(.*download it again"),
        (b"\x89HDF\r\n\x1a\n and nothing", r"is damaged or incomplete \(.*download it again"),
    ],
)
def test_files_without_weights_are_named(content, words, load, tmp_path):
    path = tmp_path / "some.weights.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(cr.ModelError, match=words):
        load(path)


def test_damaged_weight_files_are_named(stocks, load, tmp_path):
    path = tmp_path / "some.weights.h5"
    stocks[False].save_weights(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(cr.ModelError, match="damaged or incomplete.*truncated file"):
        load(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file["layers/conv2d/vars/0"][0] = np.nan
    with pytest.raises(cr.ModelError, match="not finite in Conv1"):
        load(path)
    with h5py.File(path, "w") as file:
        file["something"] = 1
    with pytest.raises(cr.ModelError, match="without weights of a Keras model"):
        load(path)


def test_efficientnet_refuses_another_normalization_than_imagenets(tmp_path):
    keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(32, 32, 3)).save_weights(
        tmp_path / "drawn.weights.h5"
    )
    with pytest.raises(cr.ModelError, match=r"normalize images by mean \[0.0, 0.0, 0.0\].*ImageNet"):
        cr.build("efficientnet_b0", weights=str(tmp_path / "drawn.weights.h5"), input_shape=(32, 32, 3), classes=2)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("mobilnet_v2", {}, "mobilnet_v2.*did you mean mobilenet_v2"),
        ("mobilenet_v2", {"input_shape": (31, 64, 3)}, "at least 32x32 pixels, not of 31x64; give larger images"),
        ("inception_v3", {"input_shape": (74, 75, 3), "alpha": None}, "at least 75x75"),
        ("mobilenet_v2", {"input_shape": (32, 32, 4)}, r"3 channels \(RGB\) or 1 \(gray\), not of 4"),
        (
            "mobilenet_v2",
            {"alpha": 0.4, "weights": "imagenet"},
            "no ImageNet weights for model.alpha = 0.4; choose one",
        ),
        ("densenet121", {}, "densenet121 has no alpha to choose"),
        ("resnet50", {"weights": "imagenet", "alpha": None}, "model.name = 'keras_resnet50' has them"),
        ("resnet8", {"weights": "imagenet", "alpha": None}, "resnet8 has no ImageNet weights. Choose a backbone"),
    ],
)
def test_invalid_backbone_raises_with_a_remedy(name, options, words):
    with pytest.raises(cr.CNNRecipesError, match=words):
        cr.build(name, **{**SPEC, **options})


def test_without_network_the_error_names_file_address_and_two_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(cr.ModelError) as caught:
        cr.build("mobilenet_v2", weights="imagenet", **{**SPEC, "input_shape": (224, 224, 3)})
    assert time.monotonic() - started < 30
    file = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    for words in (f"Keras wants {file} from https://storage.googleapis.com/", "model.weights=PATH", "KERAS_HOME"):
        assert words in str(caught.value)


def test_a_file_in_the_cache_is_read_and_its_checksum_compared(tmp_path, monkeypatch):
    """A wrong file in Keras' cache is replaced by a download, which fails here."""
    module = importlib.import_module(keras.utils.get_file.__module__)
    monkeypatch.setattr(module.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    (tmp_path / "models").mkdir()
    wrong = tmp_path / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    wrong.write_bytes(b"wrong")
    with pytest.raises(cr.ModelError, match="cannot get the ImageNet weights of keras_vgg16"):
        cr.build("keras_vgg16", weights="imagenet", input_shape=(32, 32, 3), classes=2)


def test_another_process_waits_for_a_download_that_it_would_take_for_a_damaged_file(tmp_path, monkeypatch):
    """Keras writes a download to its place directly; workers on one machine want it at the same time."""
    module = importlib.import_module(keras.utils.get_file.__module__)
    monkeypatch.setattr(module.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    free_while_loading = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with locked(tmp_path / "models" / ".weights.h5.lock") as free:
                free_while_loading.append(free)
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"weights")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{server.server_port}/weights.h5"
        with _noting_download({}):
            path = module.get_file("weights.h5", origin, cache_subdir="models")
        server.shutdown()
    assert free_while_loading
    assert not any(free_while_loading)
    with locked(tmp_path / "models" / ".weights.h5.lock") as free:
        assert free
    assert Path(path).read_bytes() == b"weights"
