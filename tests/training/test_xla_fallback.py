"""XLA compiles the training step, or is switched off with a message that gives the reason."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnnrecipes as cr
from cnnrecipes.layers.norm import KINDS

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
SMALL = {
    "data.batch_size": 8,
    "data.image_size": 8,
    "data.validation": 0.0,
    "data.channels": 3,
    "augment.ops": [],
    "model.name": "resnet8",
    "model.norm": "layer",
    "train.epochs": 1,
    "optimizer.warmup": "0 epochs",
}


@keras.saving.register_keras_serializable(package="tests")
class LacksXLA(keras.layers.Layer):
    """Scale each sample by an op without an XLA kernel; optionally only at inference."""

    def __init__(self, only_in_prediction=False, gamma_initializer="ones", **kwargs):
        super().__init__(**kwargs)
        self.only_in_prediction = only_in_prediction

    def call(self, inputs, training=False):
        if self.only_in_prediction and training:
            return inputs * 0.1
        return inputs / (1 + tf.stop_gradient(tf.raw_ops.EuclideanNorm(input=inputs, axis=[1, 2, 3], keep_dims=True)))


def fit(tmp_path, **changes):
    data = (IMAGES, np.arange(24) % 2)
    return cr.fit("resnet8_digits", data=data, workdir=tmp_path, **{**SMALL, **changes})


def test_step_that_xla_cannot_compile_is_trained_without_xla(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(KINDS, "layer", lambda groups: LacksXLA)
    compiled = fit(tmp_path, **{"train.xla": True})
    assert "XLA is off: it cannot compile this training (it has no kernel for EuclideanNorm)" in capsys.readouterr().out
    plain = fit(tmp_path, **{"train.xla": False})
    assert "XLA" not in capsys.readouterr().out
    for one, other in zip(compiled.model.get_weights(), plain.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(compiled.history["loss"], plain.history["loss"])


def test_validation_that_xla_cannot_compile_raises(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "layer", lambda groups: functools.partial(LacksXLA, only_in_prediction=True))
    with pytest.raises(cr.TrainingError, match="no kernel for EuclideanNorm; set train.xla=false"):
        fit(tmp_path, **{"train.xla": True, "data.validation": 0.34})


def test_error_unrelated_to_xla_is_reraised_unchanged(tmp_path):
    from cnnrecipes.training.xla_fallback import fit_without_xla_if_it_fails

    class Compiled:
        steps_done, jit_compile = 0, True

    def broken():
        raise tf.errors.DataLossError(None, None, "corrupted record at 12")

    with pytest.raises(tf.errors.DataLossError, match="corrupted record"):
        fit_without_xla_if_it_fails(broken, Compiled(), print)
