"""Callbacks in complete trainings of a linear model: history, best weights, NaN loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from linear_training import LinearTraining

from cnnrecipes.errors import TrainingError


def cross_entropy(model, split):
    logits = model.predict(np.stack([split.read(i)[0] for i in range(len(split))]), verbose=0).astype(float)
    shifted = logits - logits.max(axis=1, keepdims=True)
    picked = shifted[np.arange(len(split)), split.labels] - np.log(np.exp(shifted).sum(axis=1))
    return -picked.mean(), np.mean(logits.argmax(axis=1) == split.labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_val_loss_is_the_cross_entropy_of_the_validation_split(tmp_path, smoothing):
    """Neither the padding of the last batch (45 = 32 + 13) nor label smoothing changes it."""
    training = LinearTraining(tmp_path, artifact="last", label_smoothing=smoothing)
    training.run()
    model, validation = training.model, training.validation
    assert len(validation) == 45
    row = pd.read_csv(tmp_path / "history.csv").iloc[-1]
    assert (row.val_loss, row.val_accuracy) == pytest.approx(cross_entropy(model, validation), rel=1e-4)


def test_history_has_one_row_per_epoch_and_best_weights_are_kept(tmp_path):
    training = LinearTraining(tmp_path)
    outcome = training.run()
    training.model.set_weights(outcome.weights)
    model, validation, epoch = training.model, training.validation, outcome.epoch
    history = pd.read_csv(tmp_path / "history.csv")
    assert history.epoch.tolist() == [1, 2, 3]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds", "images_per_second"} <= set(
        history.columns
    )
    best = history.sort_values(["val_accuracy", "val_loss"], ascending=[False, True]).iloc[0]
    assert epoch == best.epoch
    assert (best.val_loss, best.val_accuracy) == pytest.approx(cross_entropy(model, validation), rel=1e-4)
    assert (history.seconds * history.images_per_second > 0.99 * 96).all()


@pytest.mark.parametrize("changes", [{}, {"schedule": "step('1 epoch')"}])
def test_history_has_the_learning_rate_of_the_last_step_of_each_epoch(tmp_path, changes):
    """Not that of the next step, which the schedule or the validation may have changed."""
    training = LinearTraining(tmp_path, **changes)
    training.run()
    found = pd.read_csv(tmp_path / "history.csv").learning_rate
    rates = [float(training.schedule(6 * epoch + 5)) for epoch in range(3)]
    np.testing.assert_allclose(found, rates, rtol=1e-6, atol=1e-8)  # cosines near 0, in a graph and eagerly
    assert found.iloc[-1] > 0


@pytest.mark.parametrize("steps", [None, 1, 4, 100])
def test_nan_loss_raises_with_step_and_remedy(tmp_path, steps):
    """The step is found for every value of steps_per_execution."""
    training = LinearTraining(tmp_path, learning_rate=1e37, weight_decay=0.0, steps_per_execution=steps)
    place = r"loss is (nan|inf) since step 3 of epoch 1 \(step 3 of the training\)"
    words = rf"{place}.*optimizer\.learning_rate.*optimizer\.warmup"
    with pytest.raises(TrainingError, match=words):
        training.run()
