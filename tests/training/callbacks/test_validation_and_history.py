"""`BestWeights`: the epoch with the best validation, and its weights."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.runs.weights import read_weights
from cnnrecipes.training.callbacks.validation_and_history import BestWeights


def test_best_epoch_has_highest_accuracy_then_lowest_loss(tmp_path):
    state, weights = TrainState(10), []
    best = BestWeights(state, tmp_path / "best.npz", "accuracy")
    best.set_model(SimpleNamespace(measured_weights=lambda: [np.full(2, weights[-1])]))
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.7, 0.9), (0.7, 0.8), (0.7, 0.85), (0.6, 0.1)]):
        weights.append(epoch)
        best.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_loss": loss})
        assert state.epochs_without_improvement == max(epoch - 2, 0)
    assert state.best_epoch == 3
    (best_weights,), about = read_weights(tmp_path / "best.npz")
    np.testing.assert_array_equal(best_weights, [2, 2])
    assert about == {"epoch": 3}
