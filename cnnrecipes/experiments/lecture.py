"""Experiments for the lecture's claims at reduced size, minutes each; docs/experiments.md has the full setting.

>>> import cnnrecipes as cr
>>> frame = cr.experiments.run("plain_and_residual")          # doctest: +SKIP
>>> cr.experiments.summary(frame)                             # doctest: +SKIP
"""

from __future__ import annotations

import dataclasses
import functools
import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnrecipes._support.atomic_files import make_folder, write_whole
from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.errors import DataError, RunError, UnknownNameError, one_line
from cnnrecipes.recipe import catalog

# Shell completion reads EXPERIMENTS without TensorFlow, NumPy and Matplotlib.
if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from cnnrecipes import figures
    from cnnrecipes.experiments import plots
else:
    np, pd, figures, plots = map(lazy_module, ("numpy", "pandas", "cnnrecipes.figures", "cnnrecipes.experiments.plots"))

RECIPE = "resnet20_fashion"


@dataclass(frozen=True)
class Setting:
    """Data set, image size, training length and seed of an experiment."""

    data: str = "fashion_mnist"
    pixels: int = 14
    images: int = 6000  # for training; a third as many for validation
    epochs: int = 20
    seed: int = 0


@dataclass(frozen=True)
class Case:
    """One training run of an experiment: its kind and size, and the overrides of the recipe `resnet20_fashion`."""

    kind: str
    size: int
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A question, the training runs that answer it, and the plot of the results."""

    question: str
    size: str  # what `Case.size` is
    cases: tuple[Case, ...]
    setting: Setting
    plot: Callable[[pd.DataFrame, str], Figure]


def find(name: str) -> Experiment:
    """Return an experiment by name. Raises UnknownNameError listing the nearest names."""
    if name not in EXPERIMENTS:
        raise UnknownNameError("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]


def run(name: str, *, workdir: str | Path = "experiments", progress: bool = True, **setting: Any) -> pd.DataFrame:
    """Train the cases of an experiment that `workdir` does not contain yet; write histories.csv and histories.png.

    Args:
        name: a key of `EXPERIMENTS`.
        workdir: parent of the folder `name` with the runs, histories.csv and histories.png. After an interruption the
            same call trains the missing cases.
        progress: show a progress bar for each training run.
        setting: overrides of fields of `Setting`, for example `epochs=5` or `seed=1`.

    Returns:
        one row per epoch and case: kind, size, the setting, and the columns of `Run.history`.

    Raises:
        CNNRecipesError: no such experiment or setting, or a training run that fails.
    """
    experiment = find(name)
    chosen = changed_setting(experiment.setting, setting)
    folder = make_folder(Path(workdir) / name)
    done = _read(folder / "histories.csv")
    data = None
    for case in experiment.cases:
        if _rows(done, case, chosen).empty:
            data = data or _reduced(chosen)
            done = pd.concat([done, _train(case, chosen, data, folder / "runs", progress)], ignore_index=True)
            write_whole(folder / "histories.csv", functools.partial(done.to_csv, index=False))
    frame = pd.concat([_rows(done, case, chosen) for case in experiment.cases], ignore_index=True)
    figures.save(picture(experiment, frame), folder / "histories.png", dpi=120)
    return frame


def picture(experiment: Experiment, frame: pd.DataFrame) -> Figure:
    """Return the experiment's plot, with its question as title."""
    figure = experiment.plot(frame, experiment.size)
    figure.suptitle(textwrap.fill(experiment.question, 120))
    return figure


def changed_setting(setting: Setting, changes: Mapping[str, Any]) -> Setting:
    """Return the setting with changed fields. Raises UnknownNameError or RunError for an invalid name or value."""
    fields = [field.name for field in dataclasses.fields(Setting)]
    for key, value in changes.items():
        if key not in fields:
            raise UnknownNameError("setting", key, fields)
        expected = type(getattr(setting, key))
        if not isinstance(value, expected):
            raise RunError(
                f"the experiment setting {key} is {value!r}; give {expected.__name__}, for example "
                f"{getattr(setting, key)!r}"
            )
    return dataclasses.replace(setting, **changes)


def _reduced(setting: Setting) -> dict[str, Any]:
    """Return a random subset of the training and validation images at reduced size, for `fit(data=...)`."""
    from cnnrecipes.data import batching
    from cnnrecipes.data.sources.random_access_dataset import Split
    from cnnrecipes.data.unreadable_files import open_readable, warn_unreadable

    spec = catalog.load(RECIPE).change(**{"data.name": setting.data, "data.image_size": setting.pixels}).data
    source, left_out = open_readable(None, spec)
    warn_unreadable(left_out, sum(map(len, source.splits.values())))
    whole = source.split("train")
    held_out = math.ceil(setting.images / 3)
    if setting.images < 1 or setting.images + held_out > len(whole):
        raise DataError(
            f"{setting.data} has {len(whole)} training images; {setting.images} to train on and {held_out} to validate "
            f"are too many; give images=1 to {len(whole) * 3 // 4}"
        )
    order = np.random.default_rng(0).permutation(len(whole))
    data: dict[str, Any] = {"class_names": list(source.class_names)}
    for name, places in {"train": order[: setting.images], "validation": order[setting.images :][:held_out]}.items():
        split = Split(name, whole.images, whole.labels[places], whole.positions[places])
        images, labels, _ = map(
            np.concatenate, zip(*batching.arrays(split, spec, len(source.class_names)), strict=True)
        )
        data[name] = (images[: len(split)], labels[: len(split)].argmax(-1))  # the last batch was filled up
    return data


def _train(case: Case, setting: Setting, data: Any, folder: Path, progress: bool) -> pd.DataFrame:
    """Train one case, and return its history with columns for the kind, size and setting."""
    changes = {
        "data.image_size": setting.pixels,
        "augment.ops": ("pad_crop(1)", "flip_lr"),  # the recipe's cutout would cover a third of such small images
        "train.epochs": setting.epochs,
        "optimizer.warmup": "5%",
        "train.artifact": "last",
        **case.changes,
    }
    from cnnrecipes.fit import fit

    trained = fit(RECIPE, data=data, workdir=folder, seed=setting.seed, progress=progress, **changes)
    return trained.history.assign(kind=case.kind, size=case.size, **dataclasses.asdict(setting))


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame(columns=["kind", "size", *(field.name for field in dataclasses.fields(Setting))])
    try:
        return _checked(pd.read_csv(path))
    except (ValueError, OSError) as error:
        raise RunError(
            f"cannot read {str(path)!r} ({one_line(error)}); move it away to train all cases again"
        ) from None


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame`, a row for each epoch of each training run. Raises ValueError if a required column is missing."""
    wanted = {"kind", "size", "epoch", "loss", "accuracy", "val_accuracy"}
    wanted |= {field.name for field in dataclasses.fields(Setting)}
    if missing := wanted - set(frame.columns):
        raise ValueError(f"it has no column {', '.join(sorted(missing))}")
    return frame


def _rows(frame: pd.DataFrame, case: Case, setting: Setting) -> pd.DataFrame:
    """Return the rows of `frame` of one training run, that of `case` with `setting`; empty if it was not trained."""
    wanted = {"kind": case.kind, "size": case.size, **dataclasses.asdict(setting)}
    chosen = np.ones(len(frame), bool)
    for key, value in wanted.items():
        chosen &= (frame[key] == value).to_numpy(bool)
    return frame[chosen]


def _depths() -> tuple[Case, ...]:
    kinds = {"plain": "plain", "residual": "resnet"}
    return tuple(Case(kind, n, {"model.name": f"{name}{n}"}) for kind, name in kinds.items() for n in (20, 56))


def _norms_and_batches() -> tuple[Case, ...]:
    """Return the cases; the learning rate scales with the batch size, as in Wu & He 2018, section 4.1."""
    return tuple(
        Case(
            f"{norm} norm",
            batch,
            {
                "model.name": "resnet8",
                "model.norm": norm,
                "data.batch_size": batch,
                "optimizer.learning_rate": 0.1 * batch / 128,
            },
        )
        for norm in ("batch", "layer", "instance", "group")
        for batch in (2, 8, 128)
    )


EXPERIMENTS = {
    "plain_and_residual": Experiment(
        "Do deeper networks train worse than shallow ones, and do shortcuts fix it? (He et al. 2015, fig. 1 and 6)",
        "depth",
        _depths(),
        Setting(),
        lambda frame, size: plots.plot_over_epochs(frame, size),
    ),
    "norms_and_batches": Experiment(
        "Which normalization works with small batches? (Wu & He 2018, fig. 1)",
        "batch size",
        _norms_and_batches(),
        Setting(images=3000, epochs=10),
        lambda frame, size: plots.plot_over_sizes(frame, size),
    ),
}
