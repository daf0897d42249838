"""`TrainModel`: augmentation in the step equals that of the input pipeline; saved weights are the inner model's."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from adaptation import NARROW

import cnnrecipes as cr
from cnnrecipes.augment.operation import OPERATIONS
from cnnrecipes.data import batching
from cnnrecipes.data.augmentation import Augmentation
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.recipe import catalog
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training.training_step import TrainModel

RANDOM = np.random.default_rng(0)
ARRAYS = (RANDOM.integers(0, 256, (40, 12, 12, 3), dtype=np.uint8), np.arange(40) % 4)
MEAN = Statistics((120.0, 110.0, 100.0), (60.0,) * 3)
EVERY = [
    ["pad_crop(2)", "flip_lr", "cutout(3)", "mixup", "cutmix"],
    ["random_resized_crop", "rotate", "color_jitter", "blur", "noise", "random_erasing"],
    ["alternating_flip_lr", "rand_augment", "equalize(1)", "autocontrast(1)", "solarize(99, 1)"],
    ["translate", "shear", "grayscale(0.5)", "sharpness", "posterize(3, 1)", "flip_ud", "auto_augment"],
    ["random_crop", "trivial_augment", "aug_mix(depth=2)"],
]


@pytest.mark.parametrize("ops", EVERY, ids="-".join)
def test_xla_compiled_step_trains_on_the_bytes_of_the_pipeline(ops):
    """The weights of this model after two epochs depend on every pixel and label."""
    recipe = catalog.load("resnet20_cifar").change(
        **{"data.batch_size": 8, "data.image_size": 12, "data.validation": 0.0, "augment.ops": ops, "train.epochs": 2}
    )
    split, weights = open_source(ARRAYS, recipe.data).split("train"), []
    for in_step in (False, True):
        augmentation = Augmentation.of(recipe, MEAN, in_step=in_step)
        images = keras.Input((12, 12, 3), dtype="uint8")
        flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255, dtype="float32")(images))
        model = keras.Model(images, keras.layers.Dense(4, kernel_initializer="zeros")(flat))
        train_model = TrainModel(model, augmentation=augmentation if in_step else None)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        train_model.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss, jit_compile=True)
        train_model.make_train_function()
        train_model.progress = TrainState(steps_per_epoch=10, steps_per_execution=10)
        batches = batching.training_batches(split, recipe, MEAN, 4, augmentation=augmentation)
        train_model.train_function(iter(batches))
        weights.append(model.get_weights())
    assert np.abs(weights[0][0]).max() > 0
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_operation_is_tested_in_a_compiled_step():
    assert {text.partition("(")[0] for ops in EVERY for text in ops} == set(OPERATIONS)


def test_augment_device_does_not_change_the_trained_weights(tmp_path):
    changes = {
        "data.batch_size": 8,
        "augment.ops": ["pad_crop(2)", "flip_lr", "color_jitter", "mixup"],
        "model.name": "resnet8",
        **NARROW,
        "train.epochs": 1,
        "optimizer.warmup": "0 epochs",
        "data.image_size": 12,
        "data.channels": 3,
    }
    runs = [
        cr.fit("resnet8_digits", data=ARRAYS, workdir=tmp_path, progress=False, **changes, **{"augment.device": device})
        for device in ("host", "accelerator")
    ]
    for one, other in zip(*(run.model.get_weights() for run in runs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for column in ("loss", "val_loss", "accuracy"):
        np.testing.assert_allclose(*(run.history[column] for run in runs), rtol=1e-5)


def test_weight_file_is_that_of_the_inner_model(tmp_path):
    model = cr.build("resnet8", input_shape=(12, 12, 3), classes=4)
    augmenting = TrainModel(model, augmentation=Augmentation((), 0, MEAN.mean, in_step=True))
    augmenting.save_weights(tmp_path / "a.weights.h5")
    twin = cr.build("resnet8", input_shape=(12, 12, 3), classes=4)
    twin.load_weights(tmp_path / "a.weights.h5")
    for one, other in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
