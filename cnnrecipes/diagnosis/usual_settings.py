"""Usual learning rates and weight decays of the optimizers, to which those of a recipe are compared."""

from __future__ import annotations

from cnnrecipes.diagnosis.evidence import Evidence

# Peak rates for a network with normalization trained from drawn weights, with batches of 128.
_USUAL_RATES = {
    "sgd": 0.1,  # at momentum 0.9; He et al. 2015, section 4.2
    "adamw": 1e-3,  # Kingma & Ba 2015, algorithm 1
    "lamb": 2e-3,  # You et al. 2020, table 4
    "lion": 1e-4,  # Chen et al. 2023, section 5: a tenth to a third of AdamW's
    "muon": 0.02,  # Jordan et al. 2024
    "schedule_free_adamw": 2.5e-3,  # Defazio et al. 2024, section 4.5
}
_PRETRAINED = 0.1  # of it for pretrained weights; Kornblith et al. 2019 and fastai's fine_tune are in this range
_UNNORMALIZED = 0.1  # of it for sgd without normalization; Simonyan & Zisserman 2014, section 3.1: 0.01
_BATCH = 128
# Share of the weights that is taken away by decay in each step at the peak rate.
_USUAL_SHRINKAGE = 1e-4  # He et al. 2015, section 4.2: 0.1 * 1e-4 / (1 - 0.9)


def peak_rate(evidence: Evidence) -> float:
    """Return the highest learning rate of a training, scaled with the batch as `optimizer.scale_rate` says."""
    optimizer, batch = evidence.recipe.optimizer, evidence.recipe.data.batch_size / 256
    return optimizer.learning_rate * {"none": 1.0, "linear": batch, "sqrt": batch**0.5}[optimizer.scale_rate]


def rate_ratio(evidence: Evidence) -> float | None:
    """Return the highest learning rate of a training divided by the usual one; None for an unknown optimizer.

    The usual rate of sgd grows with the batch (Goyal et al. 2017, section 2.1), that of the others with its root.
    """
    optimizer, name = evidence.recipe.optimizer, _optimizer(evidence)
    if name not in _USUAL_RATES:
        return None
    usual, batch = _USUAL_RATES[name], evidence.recipe.data.batch_size / _BATCH
    pretrained = evidence.recipe.model.weights != "none" or evidence.recipe.train.start_from is not None
    if name == "sgd":
        usual *= (1 - optimizer.momentum) / 0.1 * batch
        usual *= _UNNORMALIZED if evidence.recipe.model.norm == "none" and not pretrained else 1.0
    else:
        usual *= batch**0.5
    return peak_rate(evidence) / (usual * (_PRETRAINED if pretrained else 1.0))


def shrinkage_ratio(evidence: Evidence) -> float:
    """Return which share of the weights a step takes away by decay at the highest rate, divided by the usual share."""
    optimizer = evidence.recipe.optimizer
    coupled = (optimizer.decay or ("coupled" if _optimizer(evidence) == "sgd" else "decoupled")) == "coupled"
    if coupled and _optimizer(evidence) != "sgd":
        return 0.0  # divided by the root of the second moment: no share of the weights
    steps = 1 / (1 - optimizer.momentum) if coupled else 1.0
    return peak_rate(evidence) * optimizer.weight_decay * steps / _USUAL_SHRINKAGE


def _optimizer(evidence: Evidence) -> str:
    return evidence.recipe.optimizer.name.partition("(")[0].strip()
