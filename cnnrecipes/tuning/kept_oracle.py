"""`KeptOracle`: keras-tuner's oracle, reproducible from the search's seed and resumable after a kill.

What keras-tuner does otherwise: it takes the seed 0 for none, ends a search after 20 repeated values or 3 failures in a
row, and loses a trial that was interrupted while its files were written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.src.engine.trial import Trial as TunerTrial

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes.errors import RunError, one_line
from cnnrecipes.recipe.space import Entry, combinations, space_size
from cnnrecipes.recipe.values import plain
from cnnrecipes.tuning.hyperparameters import to_hp_values, values_of
from cnnrecipes.tuning.seeds import proposal_seed

FILE = "oracle.json"
VALUES = "cnnrecipes/values"  # a trial's values as JSON: gRPC would round numbers to float32
_SERVED = "served"  # key of the state: its trials are those of workers that may outlive the chief
_TRIES = 200  # random values before those that were not tried yet are listed
_LISTED = 1_000_000  # largest number of combinations that are listed


class KeptOracle(keras_tuner.Oracle):
    """Oracle whose state is one file, written atomically, and whose random values are a function of seed and number.

    Attributes:
        exhausted: all values of a finite space were tried.
        served: workers that this process has not started run the trials.
    """

    trials: dict[str, TunerTrial]
    ongoing_trials: dict[str, TunerTrial]
    _retry_queue: list[str]

    def begin(self, folder: Path, entries: tuple[Entry, ...], seed: int, trials: int, *, served: bool = False) -> None:
        """Set up the oracle, and load the state of an interrupted search if there is one.

        Args:
            folder: the folder of the search.
            entries: the search space.
            seed: of the search.
            trials: number of trials at most.
            served: workers on other machines run the trials, which may outlive this process.

        Raises:
            RunError: the state is damaged.
        """
        self._folder, self.entries, self.exhausted, self.served = folder, entries, False, served
        self.seed = self._seed_state = seed
        self.max_trials = trials
        self.verbose = 0
        if (folder / FILE).is_file():
            self.reload()

    def save(self, *_: Any) -> None:
        """Write the state with all trials."""
        state = {
            **self.get_state(),
            _SERVED: self.served,
            "trials": [trial.get_state() for trial in self.trials.values()],
        }
        write_text(self._folder / FILE, json.dumps(plain(state)))

    def reload(self, *_: Any) -> None:
        """Load the state; trials that had not ended are handed out again, in their order.

        Those of a chief that was killed stay with their workers, which may be training them: a worker gets its own
        trial again, and reports it when it is over.
        """
        path = self._folder / FILE
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            self.trials = {one["trial_id"]: TunerTrial.from_state(one) for one in state["trials"]}
            self.set_state(state)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"cannot read {str(path)!r} ({one_line(error)}); start a new search in another folder"
            ) from None
        if self.served and state.get(_SERVED):
            return
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
