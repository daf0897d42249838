"""`transfer.how = "auto"`: the way of transfer learning that the number of images and their features call for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEW = 50  # training images a class below which fine-tuning overfits the choice of its settings
SEPARATED = 0.95  # of the way from chance to all right: little is left to gain by training the backbone
FAR = 0.6  # below it the pretrained features fit the images badly
MANY = 1000  # training images a class from which on all layers can learn a far domain


@dataclass(frozen=True)
class Choice:
    """A way of transfer learning, and the reason for it in one sentence."""

    how: str
    reason: str


def choose(labels: np.ndarray, classes: int, accuracy: float, measured_on: str) -> Choice:
    """Choose `transfer.how` by the number of images per class, and by how well frozen features separate the classes.

    Args:
        labels: (N,) class of each training image.
        classes: number of classes.
        accuracy: share of images that a logistic regression on frozen features classifies right, 0..1; NaN: not
            measured, since a class has only one image.
        measured_on: the images that it was measured on, for the sentence.
    """
    counts = np.bincount(labels, minlength=classes)
    images, chance = int(np.median(counts)), 1 / classes
    if np.isnan(accuracy):
        why = "a class has one image alone: too few to train the backbone. Set transfer.how to choose yourself"
        return Choice("features", f"transfer.how = features: {why}")
    separation = max(0.0, (accuracy - chance) / (1 - chance))
    if images < FEW:
        how, why = "features", f"fewer than {FEW} are too few to train the backbone"
    elif separation >= SEPARATED:
        how, why = "features", f"above {_right(SEPARATED, chance)} training the backbone hardly helps"
    elif separation < FAR and images < MANY:
        how = "lora"
        why = (
            f"below {_right(FAR, chance)} the images are far from those of the pretraining, and fewer than {MANY:,} a "
        )
        why += "class are too few to train all its weights"
    else:
        how, why = "finetune", "that is enough to train the backbone, and there is something to gain"
    measured = f"{images:,} images a class (median), and a linear classifier of frozen features is {accuracy:.1%} right"
    return Choice(how, f"transfer.how = {how}: {measured} on {measured_on}; {why}. Set transfer.how to choose yourself")


def _right(separation: float, chance: float) -> str:
    return f"{chance + separation * (1 - chance):.1%}"
