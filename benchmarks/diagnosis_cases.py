"""The trainings of `diagnosis.py`: their causes, data and settings, and the verdicts that are right.

Two sets: "calibration", on which the thresholds of cnnrecipes/diagnosis/ were set, and "held_out", with other seeds,
images, architectures and optimizers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

DEFAULT_MOMENTUM = 0.9  # of batch norm, cnnrecipes.layers.norm.MOMENTUM

# Cause that was put in -> verdicts that are right. Where two are, the remedy is the same, or the history cannot tell
# the causes apart in principle; docs/debugging.md says why.
RIGHT = {
    "healthy": {"healthy"},
    "rate_too_high": {"rate_too_high", "divergence"},
    "rate_too_low": {"rate_too_low"},
    "model_too_small": {"underfitting"},
    "too_few_epochs": {"too_few_epochs"},
    "few_images": {"overfitting"},
    "label_noise": {"overfitting", "underfitting"},
    "tiny_validation": {"validation_too_small"},
    "stale_batch_norm": {"stale_batch_norm"},
    "class_imbalance": {"class_collapse"},
    "strong_regularization": {"regularization_too_strong"},
    "no_decay": {"plateau", "noisy_validation", "rate_too_high"},
    "plateau": {"plateau"},
    "noisy_validation": {"noisy_validation", "plateau", "rate_too_high"},
    "dead_layers": {"dead_layers"},
    "validation_better": {"validation_better"},  # a note: counted as the verdict of a run without another finding
}


@dataclass(frozen=True)
class Case:
    """One training: its cause, data and settings.

    Attributes:
        kept: "calibration" or "held_out".
        images: numbers of training and validation images.
        noise: share of training and validation labels that are replaced by random ones.
        counts: training images of each class; None: as they come.
        momentum: of batch norm.
        dead: share of the channels of each batch norm that start at -6, below the floor of relu.
        changes: recipe keys.
    """

    kept: str
    truth: str
    data: str
    images: tuple[int, int] = (0, 0)
    noise: float = 0.0
    counts: tuple[int, ...] | None = None
    momentum: float = DEFAULT_MOMENTUM
    dead: float = 0.0
    seed: int = 0
    changes: dict[str, Any] = field(default_factory=dict)

    def name(self, number: int) -> str:
        """The name of its file."""
        return f"{self.kept}_{number:02d}_{self.truth}_{self.data}"


BASE = {
    "digits": {"images": (1200, 500), "augment.ops": ["pad_crop(1)"], "train.epochs": 12},
    "fashion": {"images": (2000, 600), "augment.ops": ["pad_crop(1)"], "train.epochs": 8},
    "cifar": {"images": (2000, 600), "augment.ops": ["pad_crop(2)", "flip_lr"], "train.epochs": 8},
}
LONGER = {"train.epochs": 10}
ADAMW = {"optimizer.name": "adamw", "optimizer.learning_rate": 2e-3, "optimizer.weight_decay": 0.02}
LION = {"optimizer.name": "lion", "optimizer.learning_rate": 3e-4, "optimizer.weight_decay": 0.1}
RESNET14 = {"model.name": "resnet14"}
PLAIN = {"model.name": "plain20", "model.depths": [1, 1, 1]}
GROUP = {"model.norm": "group"}
NO_NORM = {"model.name": "plain20", "model.depths": [1, 1, 1], "model.norm": "none", "optimizer.learning_rate": 0.02}
TINY = {"model.shortcut": "B"}  # with `model.widths` narrower than the stem
NO_AUGMENT = {"augment.ops": [], "optimizer.weight_decay": 0.0}
WATCHED = {"logging.watch": "1 epoch"}  # "auto" watches short trainings at a few steps only
EASY = {
    "images": (0, 400),
    "counts": (1200, 0, 0, 0, 0, 0, 1200),
}  # airplanes and frogs, which small networks tell apart


def calibration() -> Iterator[Case]:
    """The runs on which thresholds are set."""

    def case(truth: str, data: str, **options: Any) -> Case:
        return Case("calibration", truth, data, **options)

    more = {"images": (4000, 1000)}
    yield case("healthy", "digits")
    yield case("healthy", "digits", changes=ADAMW, seed=1)
    yield case("healthy", "fashion", changes=LONGER, **more)
    yield case("healthy", "fashion", changes={**LONGER, **ADAMW}, seed=1, **more)
    yield case("healthy", "digits", changes={"model.dropout": 0.3, "augment.ops": ["pad_crop(1)", "cutout(3)"]}, seed=2)
    mixed = {"augment.ops": ["pad_crop(1)", "mixup(0.2)"], "train.epochs": 14}
    yield case("healthy", "fashion", changes=mixed, seed=3, **more)
    yield case("rate_too_high", "digits", changes={"optimizer.learning_rate": 10.0})
    yield case("rate_too_high", "fashion", changes={**LONGER, "optimizer.learning_rate": 10.0}, **more)
    yield case("rate_too_high", "cifar", changes={"optimizer.learning_rate": 30.0}, images=(5000, 1000))
    yield case("rate_too_high", "fashion", changes={**LONGER, **ADAMW, "optimizer.learning_rate": 0.2}, seed=1, **more)
    large = {"images": (5000, 1000)}
    yield case("rate_too_high", "cifar", changes={**NO_NORM, "optimizer.learning_rate": 2.0}, seed=2, **large)
    yield case("rate_too_low", "digits", changes={"optimizer.learning_rate": 1e-4})
    yield case("rate_too_low", "fashion", changes={**LONGER, "optimizer.learning_rate": 1e-4}, **more)
    yield case("rate_too_low", "cifar", changes={"optimizer.learning_rate": 1e-4}, images=(5000, 1000))
    yield case("rate_too_low", "fashion", changes={**LONGER, **ADAMW, "optimizer.learning_rate": 2e-6}, seed=1, **more)
    yield case("model_too_small", "fashion", changes={**TINY, "model.widths": [2, 2, 4], "train.epochs": 20})
    yield case("model_too_small", "cifar", changes={**TINY, "model.widths": [4, 4, 8], "train.epochs": 16})
    yield case("model_too_small", "digits", changes={**TINY, "model.widths": [1, 2, 2], "train.epochs": 30}, seed=1)
    yield case("too_few_epochs", "digits", changes={"train.epochs": 1})
    yield case("too_few_epochs", "fashion", changes={"train.epochs": 1})
    yield case("too_few_epochs", "cifar", changes={"train.epochs": 3}, seed=1)
    for data, few in (("fashion", 150), ("cifar", 200), ("digits", 50)):
        yield case("few_images", data, images=(few, 500), changes={**NO_AUGMENT, "train.epochs": 40})
    yield case("few_images", "cifar", images=(1000, 500), changes={**NO_AUGMENT, **ADAMW, "train.epochs": 16}, seed=1)
    yield case("label_noise", "fashion", noise=0.4, changes={**NO_AUGMENT, "train.epochs": 14}, images=(1500, 600))
    yield case("label_noise", "digits", noise=0.4, seed=1)
    yield case("tiny_validation", "digits", images=(1200, 15))
    yield case("tiny_validation", "fashion", images=(2000, 20), changes=LONGER)
    yield case("tiny_validation", "fashion", images=(2000, 30), changes={**LONGER, **ADAMW}, seed=1)
    for data in BASE:
        yield case("stale_batch_norm", data, momentum=0.9999)
    yield case("class_imbalance", "fashion", counts=(1485, 0, 0, 0, 0, 0, 15), images=(0, 600))
    yield case("class_imbalance", "cifar", counts=(10,) * 5 + (1500,) + (10,) * 4, images=(0, 600))
    yield case("class_imbalance", "cifar", counts=(0, 0, 0, 1485, 0, 15), images=(0, 600), changes=ADAMW, seed=1)
    yield case("strong_regularization", "fashion", changes={"model.dropout": 0.9, "model.spatial_dropout": 0.6})
    yield case("strong_regularization", "cifar", changes={"optimizer.weight_decay": 0.1})
    yield case("strong_regularization", "digits", changes={"optimizer.weight_decay": 0.2}, seed=1)
    constant = {"optimizer.schedule": "constant", "data.batch_size": 16}
    yield case("no_decay", "cifar", changes={**constant, "optimizer.learning_rate": 0.4}, images=(1500, 600))
    yield case("no_decay", "fashion", changes={**constant, "optimizer.learning_rate": 0.8}, images=(1500, 600), seed=1)
    yield from _watched_calibration()


def _watched_calibration() -> Iterator[Case]:
    def case(truth: str, data: str, *, changes: dict[str, Any], **options: Any) -> Case:
        return Case("calibration", truth, data, changes={**WATCHED, **changes}, **options)

    early = {"optimizer.schedule": "multi_step(['15%'], factor=0.0001)"}
    yield case("plateau", "digits", changes=early, seed=2)
    yield case(
        "plateau", "cifar", changes={"optimizer.schedule": "multi_step(['20%'], factor=0.001)", **LONGER}, seed=2
    )
    yield case("plateau", "cifar", changes={**ADAMW, **LONGER, "optimizer.schedule": "step('1 epoch')"}, seed=3)
    constant = {"optimizer.schedule": "constant", "data.batch_size": 16}
    yield case("noisy_validation", "digits", changes={**constant, "optimizer.learning_rate": 0.4}, seed=2)
    yield case("noisy_validation", "digits", changes={**constant, **ADAMW, "optimizer.learning_rate": 0.02}, seed=3)
    yield case("noisy_validation", "cifar", changes={**constant, "optimizer.learning_rate": 0.2}, seed=2, **EASY)
    yield case("dead_layers", "digits", dead=0.75, changes={}, seed=2)
    yield case("dead_layers", "cifar", dead=0.6, changes=ADAMW, seed=2, **EASY)
    yield case("dead_layers", "digits", dead=0.7, changes=PLAIN, seed=3)
    strong = {"model.dropout": 0.4, "augment.ops": ["pad_crop(2)", "cutout(3)"], "train.epochs": 16}
    yield case("validation_better", "digits", changes=strong, seed=2)
    yield case("validation_better", "digits", changes={"augment.ops": ["pad_crop(1)", "mixup(1.0)"]}, seed=3)
    mixed = {**ADAMW, "augment.ops": ["pad_crop(2)", "flip_lr", "cutmix(1.0)"]}
    yield case("validation_better", "cifar", changes=mixed, seed=2, **EASY)


def held_out() -> Iterator[Case]:
    """The runs on which the thresholds are tested."""
    seeds = iter(range(100, 200))

    def case(truth: str, data: str, **options: Any) -> Case:
        return Case("held_out", truth, data, seed=next(seeds), **options)

    yield case("healthy", "digits", changes=RESNET14)
    yield case("healthy", "fashion", changes={**LONGER, **PLAIN}, images=(3500, 800))
    yield case("healthy", "digits", changes=LION)
    yield case("healthy", "fashion", changes={**LONGER, **ADAMW, **GROUP}, images=(4000, 800))
    dropped = {"model.dropout": 0.3, "data.batch_size": 32}
    yield case("healthy", "fashion", changes={**LONGER, **dropped}, images=(3000, 800))
    yield case("rate_too_high", "digits", changes={**RESNET14, "optimizer.learning_rate": 20.0})
    yield case("rate_too_high", "cifar", changes={"optimizer.learning_rate": 10.0})
    yield case("rate_too_high", "fashion", changes={**LION, "optimizer.learning_rate": 0.03})
    yield case("rate_too_high", "digits", changes={**ADAMW, **GROUP, "optimizer.learning_rate": 0.2})
    yield case("rate_too_low", "digits", changes={**ADAMW, "optimizer.learning_rate": 2e-6, "train.epochs": 15})
    yield case("rate_too_low", "cifar", changes={**PLAIN, "optimizer.learning_rate": 1e-4})
    yield case("rate_too_low", "fashion", changes={**LION, "optimizer.learning_rate": 3e-7})
    yield case("rate_too_low", "fashion", changes={**GROUP, "optimizer.learning_rate": 1e-4, "train.epochs": 6})
    yield case("model_too_small", "cifar", changes={**TINY, **ADAMW, "model.widths": [3, 4, 6], "train.epochs": 16})
    yield case("model_too_small", "fashion", changes={**PLAIN, "model.widths": [2, 2, 3], "train.epochs": 20})
    yield case("model_too_small", "cifar", changes={**TINY, "model.widths": [2, 4, 4], "train.epochs": 18})
    yield case("too_few_epochs", "digits", changes={**ADAMW, "train.epochs": 2})
    yield case("too_few_epochs", "cifar", changes={**RESNET14, "train.epochs": 2})
    yield case("too_few_epochs", "fashion", changes={"train.epochs": 1}, images=(3000, 600))
    yield case("few_images", "fashion", images=(200, 400), changes={**NO_AUGMENT, **PLAIN, "train.epochs": 40})
    yield case("few_images", "cifar", images=(400, 400), changes={**NO_AUGMENT, **ADAMW, "train.epochs": 25})
    yield case("few_images", "cifar", images=(200, 400), changes={**NO_AUGMENT, **RESNET14, "train.epochs": 30})
    yield case("few_images", "fashion", images=(100, 400), changes={**NO_AUGMENT, **GROUP, "train.epochs": 50})
    yield case("label_noise", "digits", noise=0.3, changes=ADAMW)
    yield case("label_noise", "fashion", noise=0.5, changes={**NO_AUGMENT, "train.epochs": 12}, images=(1500, 600))
    yield case("tiny_validation", "fashion", images=(2500, 12), changes={**LONGER, **PLAIN})
    yield case("tiny_validation", "digits", images=(1300, 25), changes=RESNET14)
    yield case("tiny_validation", "fashion", images=(2000, 24), changes={**LONGER, **LION})
    yield case("stale_batch_norm", "fashion", momentum=0.9999, changes=ADAMW)
    yield case("stale_batch_norm", "cifar", momentum=0.9998, changes=RESNET14)
    yield case("stale_batch_norm", "digits", momentum=0.9995, changes=PLAIN)
    yield case("class_imbalance", "fashion", counts=(0, 0, 12, 0, 1188), images=(0, 600), changes=PLAIN)
    yield case("class_imbalance", "cifar", counts=(8, 8, 8, 1200, 8, 8, 8, 8, 8, 8), images=(0, 600), changes=ADAMW)
    yield case("class_imbalance", "cifar", counts=(0, 15, 0, 0, 0, 0, 0, 0, 0, 1485), images=(0, 600))
    yield case("strong_regularization", "cifar", changes={**ADAMW, "model.dropout": 0.9, "model.spatial_dropout": 0.5})
    yield case("strong_regularization", "fashion", changes={"optimizer.weight_decay": 0.15})
    dropped = {"model.dropout": 0.95, "model.spatial_dropout": 0.6}
    yield case("strong_regularization", "digits", changes={**RESNET14, **dropped})
    constant = {"optimizer.schedule": "constant", "data.batch_size": 16}
    yield case("no_decay", "fashion", changes={**constant, "optimizer.learning_rate": 0.4, **PLAIN}, images=(1500, 600))
    yield case("no_decay", "cifar", changes={**constant, **ADAMW, "optimizer.learning_rate": 0.02}, images=(1500, 600))
    yield from _watched_held_out(seeds)


def _watched_held_out(seeds: Iterator[int]) -> Iterator[Case]:
    def case(truth: str, data: str, *, changes: dict[str, Any], **options: Any) -> Case:
        return Case("held_out", truth, data, seed=next(seeds), changes={**WATCHED, **changes}, **options)

    early = {"optimizer.schedule": "multi_step(['10%'], factor=0.0003)", "train.epochs": 15}
    yield case("plateau", "digits", changes={**early, **RESNET14})
    yield case("plateau", "cifar", changes={**PLAIN, "optimizer.schedule": "multi_step(['25%'], factor=0.001)"})
    yield case("plateau", "cifar", changes={**LION, **LONGER, "optimizer.schedule": "step('1 epoch')"})
    constant = {"optimizer.schedule": "constant", "data.batch_size": 16}
    yield case("noisy_validation", "digits", changes={**constant, **RESNET14, "optimizer.learning_rate": 0.3})
    yield case("noisy_validation", "digits", changes={**constant, **LION, "optimizer.learning_rate": 0.002})
    yield case("noisy_validation", "cifar", changes={**constant, **PLAIN, "optimizer.learning_rate": 0.2}, **EASY)
    yield case("dead_layers", "digits", dead=0.7, changes=RESNET14)
    yield case("dead_layers", "cifar", dead=0.65, changes={**LION, "data.batch_size": 32}, **EASY)
    yield case("dead_layers", "digits", dead=0.6, changes={**PLAIN, **ADAMW})
    strong = {"model.dropout": 0.4, "augment.ops": ["pad_crop(2)", "cutout(4)"], "train.epochs": 16}
    yield case("validation_better", "digits", changes={**strong, **RESNET14})
    yield case("validation_better", "digits", changes={**ADAMW, "augment.ops": ["pad_crop(1)", "cutmix(1.0)"]})
    mixed = {"augment.ops": ["pad_crop(2)", "flip_lr", "mixup(1.0)"], **PLAIN}
    yield case("validation_better", "cifar", changes=mixed, **EASY)
    muon = {"optimizer.name": "muon", "optimizer.learning_rate": 0.02, "optimizer.weight_decay": 0.01}
    yield case("healthy", "digits", changes=muon)
    yield case("healthy", "digits", changes={"optimizer.ema": 0.98, "train.epochs": 16})
    yield case("healthy", "digits", changes={"train.label_smoothing": 0.1, **LONGER})
    yield case("healthy", "digits", changes={**GROUP, "data.batch_size": 32})
    yield case("healthy", "digits", changes={"optimizer.schedule": "multi_step(['50%', '75%'])"})
    yield case("healthy", "digits", changes={**PLAIN, **ADAMW, "data.batch_size": 32})
    yield case("healthy", "cifar", changes=LONGER, **EASY)
    yield case("healthy", "cifar", changes={**ADAMW, **RESNET14}, images=(0, 400), counts=(0, 1200, 0, 0, 0, 0, 1200))
    yield case(
        "healthy", "cifar", changes={**LION, **LONGER}, images=(0, 400), counts=(0, 0, 0, 0, 0, 0, 1200, 0, 1200)
    )
    lamb = {"optimizer.name": "lamb", "optimizer.learning_rate": 0.01, "optimizer.weight_decay": 0.02}
    yield case("healthy", "digits", changes={**lamb, **RESNET14})


def cases() -> dict[str, Case]:
    """All runs by the name of their file."""
    return {one.name(i): one for made in (calibration(), held_out()) for i, one in enumerate(made)}


def recipe_of(case: Case) -> dict[str, Any]:
    """The recipe of a case, by dotted keys."""
    base = {key: value for key, value in BASE[case.data].items() if key != "images"}
    return {
        "data.name": case.data,
        "data.batch_size": 64,
        "model.name": "resnet8",
        "optimizer.learning_rate": 0.1,
        "optimizer.warmup": "5%",
        "logging.loggers": [],
        "train.seed": case.seed,
        **base,
        **case.changes,
    }
