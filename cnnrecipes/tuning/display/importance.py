"""Importances of the keys of a search, with their uncertainty: permutation importance on trials that were held out.

A random forest (of extremely randomized trees, Geurts et al. 2006, which need fewer trials than Breiman's) learns the
ranks of the scores from the values of two thirds of the trials, and predicts the others. The importance of a key is
half of what the squared error rises there when the key's values are shuffled (Breiman 2001, section 10), as a share
of the variance: as much of the variance as the key explains, alone or together with others (Gregorutti et al. 2017,
proposition 1: the rise is twice that). This is repeated with other thirds. The standard error is that of Nadeau &
Bengio (2003, "Inference for the generalization error", corrected resampled t-test): the repetitions share trials, and
their plain standard error would be too small.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from cnnrecipes.errors import counted
from cnnrecipes.recipe.ranges import Choice
from cnnrecipes.recipe.space import Entry
from cnnrecipes.tuning.display.axes import key_axis
from cnnrecipes.tuning.records import COMPLETED, PRUNED, Trial

FEWEST = 12  # trials with a score, below which nothing can be told
_FEWEST_ACTIVE = 8  # trials in which a conditional key is active
_REPEATS = 15
_HELD_OUT = 1 / 3
_TREES = 30
_SHUFFLES = 4
_CLEAR = 2.0  # standard errors above 0
_SMALLEST = 0.01  # share of the variance that is called clear


@dataclass(frozen=True)
class Importance:
    """The importance of a key.

    Attributes:
        key: recipe key.
        value: share of the variance of the ranks that it explains, alone or with other keys, 0..1; about 0, also below,
            if it does not matter.
        error: its standard error.
        active: number of trials in which it is active.
    """

    key: str
    value: float
    error: float
    active: int

    @property
    def clear(self) -> bool:
        """True if it is two standard errors above 0, and at least 0.01."""
        return self.value > max(_CLEAR * self.error, _SMALLEST)


@dataclass(frozen=True)
class Importances:
    """The importances of the keys of a search, the largest first.

    Attributes:
        keys: of each key that is active in enough trials; () if nothing can be told.
        trials: number of trials with a score and values of their own.
        explained: R^2 of the forest on held-out trials, of the ranks of the scores; NaN with too few trials.
        error: its standard error.
        left_out: keys that are active in too few trials.
    """

    keys: tuple[Importance, ...]
    trials: int
    explained: float = math.nan
    error: float = math.nan
    left_out: tuple[str, ...] = ()

    @property
    def told(self) -> bool:
        """True if the forest explains the scores of held-out trials, so that importances mean something."""
        return bool(self.keys) and self.explained > _CLEAR * self.error

    @property
    def sentence(self) -> str:
        """The conclusion in sentences: which keys matter, or why that cannot be told."""
        if self.trials < FEWEST:
            return (
                f"With {counted(self.trials, 'trial')} the importances of the keys cannot be told; from {FEWEST} "
                "trials with different values and a score they are computed."
            )
        if not self.keys:
            return f"All {self.trials} trials have the same score or the same values: no importance can be told."
        how_much = f"R² = {self.explained:.2f} ± {self.error:.2f} on trials that it was not fitted to"
        if not self.told:
            return (
                f"From {self.trials} trials a random forest cannot predict the scores of others ({how_much}): which "
                "key is important cannot be told. More trials may show it, or no key of this space matters much."
            )
        clear = [one.key for one in self.keys if one.clear]
        named = f"Clearly above 0: {', '.join(clear)}" if clear else "No single key is clearly above 0"
        return f"{named}. From {self.trials} trials, of which a random forest explains {how_much}." + self._rest()

    def _rest(self) -> str:
        if not self.left_out:
            return ""
        return f" Active in fewer than {_FEWEST_ACTIVE} trials, and left out: {', '.join(self.left_out)}."


def importances(entries: Sequence[Entry], trials: Sequence[Trial], *, maximizes: bool, seed: int = 0) -> Importances:
    """Return the importances of the keys of a space for the score.

    Completed trials count, and pruned ones with the score that they had; of trials with the same values, as Hyperband
    has them, the longest. Failed trials have no score. Inactive keys get random values of other trials, so that
    they do not tell whether they are active.

    Args:
        entries: of the space.
        trials: the records.
        maximizes: True if a higher score is better; only decides which score gets the highest rank.
        seed: decides which trials are held out, the forests and the shuffles.
    """
    used = _distinct(trials)
    few = [entry for entry in entries if sum(entry.key in one.values for one in used) < _FEWEST_ACTIVE]
    kept = [entry for entry in entries if entry not in few]
    if len(used) < FEWEST:
        return Importances((), len(used))
    random = np.random.default_rng(seed)
    columns = _columns(kept, used)
    ranks = _ranks([one.score or 0.0 for one in used], maximizes)
    if np.ptp(ranks) == 0 or not columns:
        return Importances((), len(used))
    with threadpool_limits(1):
        rounds = [_round(columns, ranks, random) for _ in range(_REPEATS)]
    shares = np.stack([share for share, _ in rounds])
    explained = np.array([r2 for _, r2 in rounds])
    values, errors = shares.mean(0), _errors(shares)
    found = [
        Importance(entry.key, float(values[i]), float(errors[i]), sum(entry.key in one.values for one in used))
        for i, entry in enumerate(entry for entry in kept if entry.key in columns)
    ]
    return Importances(
        tuple(sorted(found, key=lambda one: -one.value)),
        len(used),
        float(explained.mean()),
        float(_errors(explained[:, None])[0]),
        tuple(entry.key for entry in few),
    )


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with a score; of those with equal values the one with the most epochs."""
    found: dict[str, Trial] = {}
    for one in trials:
        if one.status not in (COMPLETED, PRUNED) or one.score is None or not math.isfinite(one.score):
            continue
        name = json.dumps(one.values, sort_keys=True, default=str)
        if name not in found or one.epochs > found[name].epochs:
            found[name] = one
    return list(found.values())


def _columns(entries: Sequence[Entry], trials: Sequence[Trial]) -> dict[str, np.ndarray]:
    """Return the features of each key that varies, (trials, features), NaN where it is inactive.

    Numbers are places on the key's axis, logarithmic where the space is; choices are one-hot, unless they are numbers.
    """
    found = {}
    for entry in entries:
        values = [one.values.get(entry.key) for one in trials]
        column = np.array([_features(entry, value) for value in values], dtype=np.float32)
        if len(np.unique(column[~np.isnan(column[:, 0])], axis=0)) > 1:
            found[entry.key] = column
    return found


def _features(entry: Entry, value: Any) -> list[float]:
    """Return the features of a value of a key; NaN if it is inactive."""
    if not isinstance(entry.values, Choice):
        place = key_axis(entry).place(value)
        return [math.nan if place is None else place]
    choices = entry.values.values
    numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in choices)
    if numbers or len(choices) == 2:
        order = sorted(choices) if numbers else list(choices)
        return [float(order.index(value)) if value in order else math.nan]
    return [float(value == one) if value in choices else math.nan for one in choices]


def _ranks(scores: Sequence[float], maximizes: bool) -> np.ndarray:
    """Return the ranks of the scores from 0 to 1, so that a diverged trial does not decide alone; ties share one."""
    from scipy.stats import rankdata

    ranks = (rankdata(scores) - 1) / (len(scores) - 1)
    return ranks if maximizes else 1 - ranks


def _round(columns: dict[str, np.ndarray], ranks: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, float]:
    """Fit a forest to two thirds of the trials; return the share of each key on the others, and R^2."""
    from sklearn.ensemble import ExtraTreesRegressor

    order = random.permutation(len(ranks))
    held = max(round(len(ranks) * _HELD_OUT), 2)
    out, inside = order[:held], order[held:]
    filled = [_filled(column, random) for column in columns.values()]
    table = np.concatenate(filled, axis=1)
    forest = ExtraTreesRegressor(_TREES, random_state=int(random.integers(2**31)))
    forest.fit(table[inside], ranks[inside])
    shuffled, first = [table[out]], 0
    for column in filled:
        for _ in range(_SHUFFLES):
            other = table[out].copy()
            other[:, first : first + column.shape[1]] = random.permutation(other[:, first : first + column.shape[1]])
            shuffled.append(other)
        first += column.shape[1]
    predicted = forest.predict(np.concatenate(shuffled)).reshape(len(shuffled), held)
    squares = ((predicted - ranks[out]) ** 2).mean(1) / ranks.var()
    rises = squares[1:].reshape(len(filled), _SHUFFLES).mean(1) - squares[0]
    return rises / 2, float(1 - squares[0])


def _filled(column: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a key's features with those of random other trials where it is inactive."""
    inactive = np.isnan(column[:, 0])
    filled = column.copy()
    filled[inactive] = random.choice(column[~inactive], size=int(inactive.sum()))
    return filled


def _errors(rounds: np.ndarray) -> np.ndarray:
    """Return the corrected standard errors of the means of (rounds, values): Nadeau & Bengio 2003, equation 9."""
    ratio = _HELD_OUT / (1 - _HELD_OUT)
    return np.sqrt((1 / len(rounds) + ratio) * rounds.var(0, ddof=1))
