"""Search methods: keras-tuner's oracles, reproducible from the search's seed and resumable after a kill.

What keras-tuner does otherwise: it takes the seed 0 for none, ends a search after 20 repeated values or 3 failures in a
row, loses a trial that was interrupted while its files were written, and its Gaussian process ignores failed trials, so
that it proposes their values again.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import threadpoolctl
from keras_tuner.src.engine.trial import Trial as TunerTrial
from keras_tuner.src.engine.trial import TrialStatus
from scipy.optimize import minimize

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes.errors import RunError, one_line
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.search import Bayesian, Hyperband
from cnnrecipes.recipe.space import Entry, combinations, space_size
from cnnrecipes.recipe.values import plain
from cnnrecipes.tuning.hyperparameters import declare, to_hp_values, values_of
from cnnrecipes.tuning.seeds import proposal_seed

FILE = "oracle.json"
VALUES = "cnnrecipes/values"  # a trial's values as JSON: gRPC would round numbers to float32
_NEVER = 10**9  # failures in a row that end a search
_TRIES = 200  # random values before those that were not tried yet are listed
_CANDIDATES, _STARTS = 2000, 5  # random points whose bound is computed, and the best of them that are improved
_LISTED = 1_000_000  # largest number of combinations that are listed


class KeptOracle(keras_tuner.Oracle):
    """Oracle whose state is one file, written atomically, and whose random values are a function of seed and number.

    Attributes:
        exhausted: all values of a finite space were tried.
    """

    trials: dict[str, TunerTrial]
    ongoing_trials: dict[str, TunerTrial]
    _retry_queue: list[str]

    def begin(self, folder: Path, entries: tuple[Entry, ...], seed: int, trials: int) -> None:
        """Set up the oracle, and load the state of an interrupted search if there is one.

        Args:
            folder: the folder of the search.
            entries: the search space.
            seed: of the search.
            trials: number of trials at most.

        Raises:
            RunError: the state is damaged.
        """
        self._folder, self.entries, self.exhausted = folder, entries, False
        self.seed = self._seed_state = seed
        self.max_trials = trials
        self.verbose = 0
        if (folder / FILE).is_file():
            self.reload()

    def save(self, *_: Any) -> None:
        """Write the state with all trials."""
        state = {**self.get_state(), "trials": [trial.get_state() for trial in self.trials.values()]}
        write_text(self._folder / FILE, json.dumps(plain(state)))

    def reload(self, *_: Any) -> None:
        """Load the state; trials that had not ended are handed out again, in their order."""
        path = self._folder / FILE
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            self.trials = {one["trial_id"]: TunerTrial.from_state(one) for one in state["trials"]}
            self.set_state(state)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"cannot read {str(path)!r} ({one_line(error)}); start a new search in another folder"
            ) from None
        waiting = [*self._retry_queue, *(trial.trial_id for trial in self.ongoing_trials.values())]
        self._retry_queue = sorted(set(waiting), reverse=True)  # taken from the end
        self.ongoing_trials = {}

    def _save_trial(self, trial: TunerTrial) -> None:
        """Write nothing: `save` writes all trials with the state, so that a kill cannot separate them."""

    @keras_tuner.synchronized
    def end_trial(self, trial: TunerTrial) -> None:
        """Record the result; the values are those that were proposed, which gRPC may have rounded."""
        trial.hyperparameters = self.trials[trial.trial_id].hyperparameters
        super().end_trial(trial)

    def _compute_values_hash(self, values: Mapping[str, Any]) -> str:
        return super()._compute_values_hash({key: value for key, value in values.items() if key != VALUES})

    def _random_values(self) -> dict[str, Any] | None:
        """Return random values that were not tried, drawn with a seed of this trial alone; None if all were tried."""
        random = np.random.default_rng(proposal_seed(self.seed, len(self.trials) + 1))
        for _ in range(_TRIES):
            values = self._drawn(random)
            if not self._duplicate(values):
                return self._with_values(values)
        if space_size(self.entries) <= _LISTED:
            left = [one for one in map(self._of_recipe, combinations(self.entries)) if not self._duplicate(one)]
            self.exhausted = not left
            return self._with_values(left[random.integers(len(left))]) if left else None
        while self._duplicate(values := self._drawn(random)):
            pass
        return self._with_values(values)

    def _drawn(self, random: np.random.Generator) -> dict[str, Any]:
        """Return a random value of each active key."""
        drawn = keras_tuner.HyperParameters()
        for hp in self.hyperparameters.space:
            drawn.merge([hp])
            if drawn.is_active(hp):
                drawn.values[hp.name] = hp.random_sample(int(random.integers(2**31)))
        return drawn.values

    def _of_recipe(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return to_hp_values(values, self.entries)

    def _with_values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values with those of the recipe as JSON."""
        found = keras_tuner.HyperParameters()
        found.values = values
        return {**values, VALUES: json.dumps(plain(values_of(found, self.entries)))}


class RandomOracle(KeptOracle, keras_tuner.oracles.RandomSearchOracle):
    """Random search without repeated values."""


class HyperbandOracle(KeptOracle, keras_tuner.oracles.HyperbandOracle):
    """Hyperband; a trial of a later round continues the training of its parent."""


class BayesianOracle(KeptOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimization in which a failed trial counts as the worst completed one."""

    def begin(self, folder: Path, entries: tuple[Entry, ...], seed: int, trials: int) -> None:
        """Set up the oracle as `KeptOracle.begin` does, and make the Gaussian process with the seed."""
        super().begin(folder, entries, seed, trials)
        self.gpr = self._make_gpr()  # with the seed

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values with the lowest confidence bound; random ones at first, or if they were tried already.

        keras-tuner minimizes the bound from 50 random points, which takes seconds; here from the best 5 of many.
        """
        completed = sum(trial.status == TrialStatus.COMPLETED for trial in self.trials.values())
        if completed < (self.num_initial_points or max(3 * len(self.hyperparameters.space), 3)):
            return self._random_populate_space()
        # One thread: with several, these small matrices take many times as long on a busy machine.
        with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a Gaussian process with few or equal scores
            self.gpr.fit(*self._vectorize_trials())
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

    def _vectorize_trials(self) -> tuple[np.ndarray, np.ndarray]:
        x, y = super()._vectorize_trials()
        failed = [trial for trial in self.trials.values() if trial.status in (TrialStatus.FAILED, TrialStatus.INVALID)]
        if not failed or not len(y):
            return x, y
        return np.concatenate([x, [self._vector(trial) for trial in failed]]), np.append(y, [y.max()] * len(failed))

    def _vector(self, trial: TunerTrial) -> list[float]:
        values = trial.hyperparameters.values
        return [hp.value_to_prob(values.get(hp.name, hp.default)) for hp in self._nonfixed_space()]


def open_oracle(base: Recipe, folder: Path) -> KeptOracle:
    """Return the oracle of a recipe's `search` table, with its state in the folder if the search was interrupted.

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
        oracle = BayesianOracle(num_initial_points=method.initial, alpha=method.alpha, beta=method.beta, **options)
    else:
        oracle = RandomOracle(**options)
    oracle.begin(folder, entries, search.seed, search.trials)
    return oracle


def number_of(trial_id: str) -> int:
    """Return the number of a trial, from 1, of keras-tuner's id."""
    return int(trial_id) + 1
