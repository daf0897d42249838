"""Remedies that several findings share: overrides of a recipe with the value now and the value to try."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from cnnrecipes.augment.operation import Mix, parse
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Remedy

_STRONG_DROPOUT = 0.5
_IN_MEMORY = "arrays"  # the name that a recipe records for arrays, which no command can open
_PHOTO = 96  # pixels, from which a crop with a random scale is usual


def key(name: str, value: object, why: str) -> Remedy:
    """Return an override of one recipe key."""
    return Remedy(f"{name}={value}", why)


def rate_times(evidence: Evidence, factor: float, why: str) -> Remedy:
    """Return the learning rate multiplied by a factor."""
    now = evidence.recipe.optimizer.learning_rate
    return key("optimizer.learning_rate", f"{now * factor:.3g}", f"now {now:g}: {why}")


def find_rate(evidence: Evidence) -> Remedy:
    """Return the command that measures a learning rate."""
    return Remedy(f"cnnrecipes find-lr {own_recipe(evidence)}", "measures the range of usable learning rates")


def overfit_check(evidence: Evidence) -> Remedy:
    """Return the command that checks whether a few images can be memorized."""
    return Remedy(
        f"cnnrecipes overfit {own_recipe(evidence)}",
        "a network that cannot memorize a few images has a mistake in model, loss or labels",
    )


def longer_warmup(evidence: Evidence) -> list[Remedy]:
    """Return a warm-up for a recipe that has none; [] for others."""
    if evidence.recipe.optimizer.warmup.amount or evidence.recipe.optimizer.schedule.startswith("one_cycle"):
        return []
    return [key("optimizer.warmup", "5%", "now none: the first steps are the most fragile")]


def more_augmentation(evidence: Evidence) -> Remedy:
    """Return augmentation for a recipe that has none, or a stronger one for a recipe that has some."""
    now, size = list(evidence.recipe.augment.ops), evidence.image_size
    if not now:
        crop = f"pad_crop({max(round(min(size or (32,)) / 8), 1)})"
        crop = "random_resized_crop(scale=(0.35, 1))" if size and min(size) >= _PHOTO else crop
        return operations([crop, "flip_lr"], "now none; no flip_lr if left and right matter")
    if not evidence.mixes:
        return operations([*now, "cutmix"], "mixing makes memorizing harder; it needs more epochs")
    if any(op.startswith("rand_augment") for op in now):
        return more_epochs(evidence)  # strong augmentation takes longer to pay
    mixes = [op for op in now if isinstance(parse(op), Mix)]
    return operations([*now[: len(now) - len(mixes)], "rand_augment", *mixes], "stronger, if mixing is not enough")


def operations(ops: Sequence[str], why: str) -> Remedy:
    """Return the advice to set `augment.ops`, quoted for a shell."""
    return key("augment.ops", shlex.quote(json.dumps(list(ops), ensure_ascii=False)), why)


def more_decay(evidence: Evidence) -> Remedy:
    """Return the advice to set five times the weight decay, or the usual one if there is none."""
    now = evidence.recipe.optimizer.weight_decay
    usual = 5e-4 if evidence.recipe.optimizer.name.startswith("sgd") else 0.05
    return key("optimizer.weight_decay", f"{max(5 * now, usual):.3g}", f"now {now:g}")


def more_dropout(evidence: Evidence) -> Remedy | None:
    """Return the advice to set more dropout before the last layer; None if there is much already."""
    now = evidence.recipe.model.dropout
    if (now or 0) >= _STRONG_DROPOUT:
        return None
    return key("model.dropout", 0.5 if now else 0.3, f"now {'unset' if now is None else now}")


def more_epochs(evidence: Evidence, factor: float = 3.0) -> Remedy:
    """Return the advice to train for more epochs."""
    now = evidence.recipe.train.epochs
    wanted = max(round(now * factor), now + 5)
    return key(
        "train.epochs", wanted, f"now {now}; or `cnnrecipes extend {_folder(evidence)}` continues a finished run"
    )


def decaying_schedule(evidence: Evidence, why: str = "a falling rate settles the weights") -> Remedy:
    """Return the advice to set `optimizer.schedule=cosine`, which lowers the learning rate to 0."""
    return key("optimizer.schedule", "cosine", f"now {evidence.recipe.optimizer.schedule}: {why}")


def learning_curve(evidence: Evidence) -> Remedy:
    """Return the command that extrapolates the accuracy to more images, with the features of a pretrained backbone."""
    adapted = evidence.recipe.transfer.how != "none"
    recipe = own_recipe(evidence) if adapted else f"features_photos --data {own_data(evidence)}"
    return Remedy(f"cnnrecipes learning-curve {recipe}", "tells what more training images would bring")


def finetuning(evidence: Evidence) -> Remedy:
    """Return the command that trains a pretrained backbone on the same data."""
    command = f"cnnrecipes fit finetune_photos --data {own_data(evidence)}"
    return Remedy(command, "a pretrained backbone needs far fewer images, if yours are photos")


def check_data(evidence: Evidence, why: str) -> Remedy:
    """Return the command that checks the data of the training."""
    return Remedy(f"cnnrecipes check-data {own_data(evidence)}", why)


def own_recipe(evidence: Evidence) -> str:
    """Return the recipe file of the run as an argument, with `--data DATA` if it does not tell the data."""
    path = shlex.quote(f"{_plain_folder(evidence)}/recipe.toml")
    return f"{path} --data DATA" if evidence.recipe.data.name == _IN_MEMORY else path


def own_data(evidence: Evidence) -> str:
    """Return the data of the training as an argument; DATA for arrays."""
    name = evidence.recipe.data.name
    return "DATA" if name == _IN_MEMORY else shlex.quote(name)


def _folder(evidence: Evidence) -> str:
    return shlex.quote(_plain_folder(evidence))


def _plain_folder(evidence: Evidence) -> str:
    return evidence.folder or "RUN"
