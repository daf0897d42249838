"""Remedies: what they say can be typed as it is."""

from __future__ import annotations

import shlex
import typing

import numpy as np
import pytest
from training_curves import evidence, exponential, healthy, history, predictions, recipe

from cnnrecipes.diagnosis import remedies
from cnnrecipes.diagnosis.diagnosis import diagnosed
from cnnrecipes.diagnosis.evidence import Evidence, LayerRecord, NonFiniteLoss
from cnnrecipes.diagnosis.finding import Remedy
from cnnrecipes.recipe.toml import parse_override

EPOCHS = 20
FLAT = np.full(EPOCHS, 1.2)
SHAPES = {
    "healthy": healthy(),
    "overfitting": history(
        exponential(2, 0.01, 0.3, EPOCHS), exponential(0.3, 1, 0.3, EPOCHS), np.linspace(1, 3, EPOCHS), 0.6
    ),
    "underfitting": history(FLAT, 0.55, FLAT, 0.54),
    "plateau": history(FLAT, 0.55, FLAT, 0.54, 0.1),
    "short": history([1.9, 1.3, 0.9], [0.3, 0.5, 0.68], [1.6, 1.1, 0.8], [0.4, 0.6, 0.7]),
    "stuck": history(FLAT + 1.1, 0.1, FLAT + 1.1, 0.1),
    "exploded": history(FLAT * 10, 0.1, FLAT * 10, 0.1),
    "noisy": history(
        exponential(2, 0.3, 0.4, EPOCHS), exponential(0.3, 0.9, 0.4, EPOCHS), 0.6, 0.8 + 0.1 * np.cos(np.arange(EPOCHS))
    ),
    "better": history(FLAT, 0.55, FLAT / 2, 0.8),
    "stale": history(exponential(2, 0.1, 0.5, EPOCHS), exponential(0.3, 0.97, 0.5, EPOCHS), 4.0, 0.12),
}
RECIPES: tuple[dict[str, typing.Any], ...] = (
    {"model.widths": [4, 8, 16], "train.early_stopping": 3, "train.time_budget": "2 min"},
    {"augment.ops": ["pad_crop(4)", "cutout(8, fill='noise')"], "model.dropout": 0.5},
    {"augment.ops": ["pad_crop(4)", "mixup", "cutmix"], "model.spatial_dropout": 0.3, "model.block_dropout": 0.3},
    {"augment.ops": ["rand_augment", "mixup"], "optimizer.weight_decay": 0.5},
    {"optimizer.learning_rate": 1e-6},
    {"train.precision": "float16", "optimizer.learning_rate": 50.0, "optimizer.schedule": "constant"},
)


def all_evidence():
    few, many = (
        predictions([100] * 10, [1000] + [0] * 9, [100] + [0] * 9),
        predictions([100] * 10, [100] * 10, [95] * 10),
    )
    for curves in SHAPES.values():
        for changes in RECIPES:
            for options in (
                {},
                {"validation_images": 20, "stopped": "after 3 epochs", "image_size": (128, 128)},
                {"training_images": (900, *[20] * 9), "train": few, "validation": few},
                {"train": many, "validation": few, "reestimated": many},
                {"layers": (LayerRecord("stem", 0.9, 1e-3, 1.0),)},
                {"failure": NonFiniteLoss(1, 7, "nan", 0.1)},
            ):
                yield evidence(curves, recipe=recipe(**changes), **options)


def settings(found: Evidence) -> list[Remedy]:
    tries = [remedy for one in diagnosed(found).findings for remedy in one.remedies]
    return [remedy for remedy in tries if not remedy.change.startswith("cnnrecipes ")]


def test_every_setting_is_accepted_by_the_recipe():
    keys = set()
    for found in all_evidence():
        for remedy in settings(found):
            if "=" in remedy.change:
                (text,) = shlex.split(remedy.change)
                key, value = parse_override(text)
                changed = found.recipe.change(**{key: value})
                assert key == "optimizer.schedule" or changed != found.recipe, remedy  # these curves fit no schedule
                keys.add(key)
    assert {"augment.ops", "train.time_budget", "data.folds", "data.balance", "model.norm", "model.widths"} <= keys


def test_commands_name_the_recipe_of_the_run():
    found = evidence(healthy(), folder="runs/my run", recipe=recipe(**{"data.name": "digits"}))
    assert remedies.find_rate(found).change == "cnnrecipes find-lr 'runs/my run/recipe.toml'"
    assert "extend 'runs/my run'" in remedies.more_epochs(found).why
    assert remedies.overfit_check(evidence(healthy())).change == "cnnrecipes overfit RUN/recipe.toml --data DATA"
    assert remedies.learning_curve(found).change == "cnnrecipes learning-curve features_photos --data digits"


@pytest.mark.parametrize(("batch", "smaller"), [(64, "16"), (16, "8"), (8, None), (4, None)])
def test_batches_of_8_are_small_enough(batch, smaller):
    found = diagnosed(evidence(SHAPES["stale"], recipe=recipe(**{"data.batch_size": batch})))
    assert found.verdict == "stale_batch_norm"
    sizes = [one.change for one in found.findings[0].remedies if one.change.startswith("data.batch_size")]
    assert sizes == ([f"data.batch_size={smaller}"] if smaller else [])
