"""Search methods: random values, Bayesian optimization, Hyperband."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import threadpoolctl
from keras_tuner.src.engine.trial import Trial as TunerTrial
from keras_tuner.src.engine.trial import TrialStatus
from scipy.optimize import minimize

from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.search import Bayesian, Hyperband
from cnnrecipes.recipe.space import Entry
from cnnrecipes.recipe.values import plain
from cnnrecipes.tuning.hyperband import HyperbandOracle
from cnnrecipes.tuning.hyperparameters import declare
from cnnrecipes.tuning.kept_oracle import KeptOracle
from cnnrecipes.tuning.seeds import proposal_seed

_NEVER = 10**9  # failures in a row that end a search
_CANDIDATES, _STARTS = 2000, 5  # random points whose bound is computed, and the best of them that are improved


class RandomOracle(KeptOracle, keras_tuner.oracles.RandomSearchOracle):
    """Random search without repeated values."""


class BayesianOracle(KeptOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimization; a failed trial counts as the worst completed one, where keras-tuner leaves it out."""

    def begin(self, folder: Path, entries: tuple[Entry, ...], seed: int, trials: int, *, served: bool = False) -> None:
        """Set up the oracle as `KeptOracle.begin` does, and make the Gaussian process with the seed."""
        super().begin(folder, entries, seed, trials, served=served)
        self.gpr = self._make_gpr()  # with the seed

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values with the lowest confidence bound; random ones at first, or if they were tried already.

        keras-tuner minimizes the bound from 50 random points, which takes seconds; here from the best 5 of many.
        """
        if len(self._completed()) < self.num_initial_points:
            return self._random_populate_space()
        # One thread: with several, these small matrices take many times as long on a busy machine.
        with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a Gaussian process with few or equal scores
            self._fit()
            values = plain(self._vector_to_values(self._lowest_bound()))
        if self._duplicate(values):
            return self._random_populate_space()
        return {"status": TrialStatus.RUNNING, "values": self._with_values(values)}

    def _lowest_bound(self) -> np.ndarray:
        """Return the point of the unit cube with the lowest mean - beta * standard deviation, as far as it is found."""
        random = np.random.default_rng(proposal_seed(self.seed, len(self.trials) + 1))

        def bound(points: np.ndarray) -> np.ndarray:
            mean, std = self.gpr.predict(np.atleast_2d(points), return_std=True)
            return mean - self.beta * std

        points = random.random((_CANDIDATES, len(self._nonfixed_space())))
        starts = points[np.argsort(bound(points))[:_STARTS]]
        limits = [(0.0, 1.0)] * points.shape[1]
        found = [minimize(lambda x: bound(x)[0], start, bounds=limits, method="L-BFGS-B") for start in starts]
        return min(found, key=lambda one: one.fun).x

    def _fit(self) -> None:
        """Fit the Gaussian process to the trials that are over, then also to its guesses for the running ones.

        The guesses, mean plus standard deviation, keep two workers from the same values. keras-tuner guesses with a
        process that is not fitted yet in the first proposal.
        """
        completed = self._completed()
        scores = [-one.score if self.objective.direction == "max" else one.score for one in completed]
        failed = [one for one in self.trials.values() if one.status in (TrialStatus.FAILED, TrialStatus.INVALID)]
        points = [self._vector(one) for one in [*completed, *failed]]
        known = [*scores, *[max(scores)] * len(failed)]
        self.gpr.fit(np.array(points), np.array(known))
        if running := [self._vector(one) for one in self.trials.values() if one.status == TrialStatus.RUNNING]:
            mean, std = self.gpr.predict(np.array(running), return_std=True)
            self.gpr.fit(np.array([*points, *running]), np.array([*known, *(mean + std)]))

    def _completed(self) -> list[TunerTrial]:
        return [one for one in self.trials.values() if one.status == TrialStatus.COMPLETED]

    def _vector(self, trial: TunerTrial) -> list[float]:
        values = trial.hyperparameters.values
        return [hp.value_to_prob(values.get(hp.name, hp.default)) for hp in self._nonfixed_space()]


def open_oracle(base: Recipe, folder: Path, *, served: bool = False) -> KeptOracle:
    """Return the oracle of a recipe's `search` table, with its state in the folder if the search was interrupted.

    Args:
        base: the recipe with its `search` table.
        folder: of the search.
        served: workers on other machines run the trials, which may outlive this process.

    Raises:
        RunError: the state is damaged.
    """
    search = base.search
    assert search is not None
    entries, method = search.entries, search.proposals
    space = keras_tuner.HyperParameters()
    declare(space, entries)
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(search.objective, "max" if search.maximizes else "min"),
        "hyperparameters": space,
        "max_consecutive_failed_trials": _NEVER,
    }
    oracle: KeptOracle
    if isinstance(method, Hyperband):
        oracle = HyperbandOracle(
            max_epochs=base.train.epochs, factor=method.factor, hyperband_iterations=method.iterations, **options
        )
    elif isinstance(method, Bayesian):
        initial = method.random_trials(len(entries))
        oracle = BayesianOracle(num_initial_points=initial, alpha=method.alpha, beta=method.beta, **options)
    else:
        oracle = RandomOracle(**options)
    oracle.begin(folder, entries, search.seed, search.limit, served=served)
    return oracle


def number_of(trial_id: str) -> int:
    """Return the number of a trial, from 1, of keras-tuner's id."""
    return int(trial_id) + 1
