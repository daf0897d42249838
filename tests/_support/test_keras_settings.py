"""Global Keras settings do not influence a training, or are refused before any work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FITS = """
import sys, keras, cnnrecipes as cr

def fit(name):
    changes = {"train.epochs": 1, "data.batch_size": 512, "model.depths": [1], "model.widths": [16]}
    return cr.fit("resnet8_digits", workdir=sys.argv[1], name=name, progress=False, **changes)

def report(run):
    layers = {layer.dtype_policy.name for layer in run.model.layers} | {w.dtype for w in run.model.weights}
    equal = cr.load(run.folder).evaluate()["accuracy"] == run.metrics["test"]["accuracy"]
    print(layers, keras.config.dtype_policy().name, keras.config.floatx(), equal, sep=", ")

keras.config.set_floatx("float64")
report(fit("floatx"))
keras.config.set_floatx("float32")
keras.config.set_dtype_policy("mixed_float16")
report(fit("policy"))
keras.config.set_dtype_policy("float32")
keras.config.set_image_data_format("channels_first")
try:
    fit("format")
except cr.KerasSettingError as error:
    print(error)
"""


def python(code: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """The folder of trainings under three settings, one after the other, and what their process printed."""
    folder = tmp_path_factory.mktemp("runs")
    done = python(FITS, folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.splitlines()


def test_artifact_is_float32_regardless_of_global_dtype_settings(fits):
    _, (floatx, policy, _) = fits
    assert floatx == "{'float32'}, float64, float64, True"
    assert policy == "{'float32'}, mixed_float16, float32, True"


def test_channels_first_is_refused_before_the_run_folder_is_created(fits):
    folder, said = fits
    assert said[-1].startswith("Keras' image data format is 'channels_first'")
    assert "set_image_data_format('channels_last')" in said[-1]
    assert {path.name for path in folder.iterdir()} == {"floatx", "policy"}


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_backend_is_refused_before_any_work(tmp_path, backend):
    done = python("import cnnrecipes as cr; cr.fit('resnet8_digits')", KERAS_BACKEND=backend)
    assert f"KerasSettingError: Keras' backend is '{backend}'" in done.stderr
    code = f"import os; os.chdir({str(tmp_path)!r}); import sys; sys.argv[1:] = ['fit', 'resnet8_digits']"
    line = python(f"{code}; from cnnrecipes.cli.app import main; main()", KERAS_BACKEND=backend)
    assert line.returncode == 2
    assert line.stderr.startswith(f"cnnrecipes: Keras' backend is '{backend}', and cnnrecipes trains with TensorFlow")
    assert list(tmp_path.iterdir()) == []


def test_backend_from_the_keras_configuration_file_is_refused(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    environment = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "tensorflow"}
    code = "from cnnrecipes._support import keras_settings; keras_settings.check_backend(); print('fine')"
    assert python(code, **environment).stdout == "fine\n"
    code = "import os; del os.environ['KERAS_BACKEND']; " + code
    assert "Keras' backend is 'jax'" in python(code, **environment).stderr


def test_recipes_are_listed_and_shown_under_any_backend():
    code = "import sys; sys.argv[1:] = ['show', 'resnet8_digits']; from cnnrecipes.cli.app import main; main()"
    done = python(code, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    assert 'name = "digits"' in done.stdout
