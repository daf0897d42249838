"""Regularization that keeps a model from fitting: weight decay far above the usual, dropout, augmentation."""

from __future__ import annotations

import numpy as np

from cnnrecipes.augment.operation import Mix, parse
from cnnrecipes.diagnosis import remedies
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Remedy
from cnnrecipes.diagnosis.history import last_epochs
from cnnrecipes.diagnosis.measures import training_accuracy, validation_accuracy
from cnnrecipes.diagnosis.usual_settings import shrinkage_ratio

_HINDERED = 0.1  # accuracy without dropout and augmentation minus accuracy with them
_DROPOUT = 0.5
_MILD = ("flip_lr", "alternating_flip_lr", "pad_crop", "random_crop", "random_resized_crop")  # usual in any training
_SHRINKAGE = 100.0  # times the usual share of the weights; 5 is common (5e-4; Zagoruyko & Komodakis 2016)


def hindrances(evidence: Evidence) -> tuple[list[str], list[Remedy]]:
    """Return facts and remedies of weight decay, dropout and augmentation that hinder the fit, or [], []."""
    recipe, facts, tries = evidence.recipe, [], []
    shrinkage = shrinkage_ratio(evidence)
    if decays_too_fast(evidence):
        facts.append(f"the weight decay takes {shrinkage:.0f} times the usual share of the weights in each step")
        now = recipe.optimizer.weight_decay
        tries.append(remedies.key("optimizer.weight_decay", f"{now / shrinkage:.1g}", f"now {now:g}"))
    strongest = max(recipe.model.dropout or 0, recipe.model.spatial_dropout, recipe.model.block_dropout or 0)
    hindered = _accuracy_without_hindrance(evidence)
    if hindered > _HINDERED and (strongest >= _DROPOUT or evidence.mixes or evidence.augments):
        on = "training images" if evidence.train else "validation images, which get neither,"
        facts.append(
            f"without dropout and augmentation the accuracy on {on} is {100 * hindered:.0f} points higher than in "
            "training"
        )
    if strongest >= _DROPOUT and (hindered > 0 or strongest > 0.8):
        facts.append(f"the strongest dropout rate is {strongest:g}")
    if facts:
        tries += less_regularization(evidence)
    if hindered > _HINDERED and evidence.augments and not evidence.mixes:
        tries.append(_weaker_augmentation(evidence))
    return facts, tries


def _weaker_augmentation(evidence: Evidence) -> Remedy:
    """Return only the moves and crops among the operations, or none if there are no others."""
    now = list(evidence.recipe.augment.ops)
    moves = [op for op in now if op.partition("(")[0].strip() in _MILD]
    return remedies.operations(moves if moves != now else [], f"now {', '.join(now)}: weaker augmentation")


def decays_too_fast(evidence: Evidence) -> bool:
    """Return True if weight decay takes more than 100 times the usual share of the weights in a step."""
    return shrinkage_ratio(evidence) > _SHRINKAGE


def _accuracy_without_hindrance(evidence: Evidence) -> float:
    """Return the accuracy without dropout and augmentation (validation, if not measured) minus that in training."""
    history = evidence.history
    clean = training_accuracy(evidence) if evidence.train else validation_accuracy(evidence)
    return clean.value - float(np.mean(history.accuracy[last_epochs(history)])) if clean else 0.0


def less_regularization(evidence: Evidence) -> list[Remedy]:
    """Return remedies that switch off what the recipe has."""
    model, found = evidence.recipe.model, []
    if model.spatial_dropout:
        found.append(remedies.key("model.spatial_dropout", 0, f"now {model.spatial_dropout:g}"))
    if model.block_dropout:
        found.append(remedies.key("model.block_dropout", 0, f"now {model.block_dropout:g}"))
    if model.dropout:
        found.append(remedies.key("model.dropout", 0 if model.dropout <= _DROPOUT else 0.2, f"now {model.dropout:g}"))
    if evidence.mixes:
        kept = [op for op in evidence.recipe.augment.ops if not isinstance(parse(op), Mix)]
        found.append(remedies.operations(kept, "without mixing"))
    return found
