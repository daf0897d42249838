"""Hyperband (Li et al. 2018): brackets of trials, of whose rounds the best ones continue their training for longer."""

from __future__ import annotations

from typing import Any

import keras_tuner
from keras_tuner.src.engine.trial import Trial as TunerTrial
from keras_tuner.src.engine.trial import TrialStatus

from cnnrecipes.recipe.search import Hyperband
from cnnrecipes.tuning.kept_oracle import KeptOracle

_OVER = (TrialStatus.COMPLETED, TrialStatus.FAILED, TrialStatus.INVALID)


class HyperbandOracle(KeptOracle, keras_tuner.oracles.HyperbandOracle):
    """Hyperband; a trial of a later round continues the training of its parent.

    In keras-tuner a failed trial never leaves its round, and each one takes the place of a trial that would continue;
    here it is the worst of its round. A space with fewer values than a bracket has trials makes the bracket smaller,
    where keras-tuner ends the search.
    """

    _brackets: list[dict[str, Any]]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values of the next trial: one that continues, or a new one of this bracket or of the next."""
        while True:
            self._brackets = [one for one in self._brackets if not self._is_full(one)]
            for bracket in self._brackets:
                if found := self._next_of(bracket, trial_id):
                    return found
            if self._is_last():
                return {"status": TrialStatus.IDLE if self.ongoing_trials else TrialStatus.STOPPED}
            self._increment_bracket_num()
            self._start_new_bracket()

    def _next_of(self, bracket: dict[str, Any], trial_id: str) -> dict[str, Any] | None:
        """Return the values of the next trial of a bracket, those that continue first; None if none can start now."""
        if len(bracket["rounds"][0]) < self._size(bracket, 0):
            if found := self._promoted(bracket, trial_id):
                return found
            if values := self._random_values():
                bracket["rounds"][0].append({"past_id": None, "id": trial_id})
                return {"status": TrialStatus.RUNNING, "values": values | self._budget(bracket["bracket_num"], 0)}
            bracket["exhausted"] = True  # all values were tried, and the bracket has no more trials
        return self._promoted(bracket, trial_id)

    def _promoted(self, bracket: dict[str, Any], trial_id: str) -> dict[str, Any] | None:
        """Return the values of a trial that continues in the highest round that has a place for one."""
        rounds = reversed(range(1, len(bracket["rounds"])))
        return next((found for number in rounds if (found := self._promoted_to(number, bracket, trial_id))), None)

    def _promoted_to(self, number: int, bracket: dict[str, Any], trial_id: str) -> dict[str, Any] | None:
        """Return the values of the best trial of the round before if it continues in this round.

        As soon as more trials than will be thrown out are over, the best of them cannot be one of these.
        """
        before, own = bracket["rounds"][number - 1 : number + 1]
        chosen = {one["past_id"] for one in own}
        over = [trial for trial in self._trials_of(before) if trial.trial_id not in chosen and trial.status in _OVER]
        completed = [trial for trial in over if trial.status == TrialStatus.COMPLETED]
        thrown_out = self._size(bracket, number - 1) - self._get_size(bracket["bracket_num"], number)
        if len(own) >= self._size(bracket, number) or len(over) <= max(thrown_out, 0) or not completed:
            return None
        sign = -1 if self.objective.direction == "max" else 1
        best = min(completed, key=lambda trial: sign * trial.score)
        own.append({"past_id": best.trial_id, "id": trial_id})
        values = dict(best.hyperparameters.values)
        values["tuner/trial_id"] = best.trial_id
        return {"status": TrialStatus.RUNNING, "values": values | self._budget(bracket["bracket_num"], number)}

    def planned(self) -> list[int]:
        """Return the number of trials of each bracket, in their order, if none fails."""
        brackets = reversed(range(self._get_num_brackets()))
        return [sum(self._get_size(bracket, number) for number in range(bracket + 1)) for bracket in brackets]

    def _budget(self, bracket: int, number: int) -> dict[str, int]:
        """Return the epochs of a trial as keras-tuner has them in its values."""
        return {
            "tuner/epochs": self._get_epochs(bracket, number),
            "tuner/initial_epoch": self._get_epochs(bracket, number - 1) if number else 0,
            "tuner/bracket": bracket,
            "tuner/round": number,
        }

    def _size(self, bracket: dict[str, Any], number: int) -> int:
        """Return the number of trials of a round: fewer than planned if too few of the round before are left."""
        planned, rounds = self._get_size(bracket["bracket_num"], number), bracket["rounds"]
        if number == 0:
            return len(rounds[0]) if bracket.get("exhausted") else planned
        before = self._trials_of(rounds[number - 1])
        if len(before) < self._size(bracket, number - 1) or any(one.status not in _OVER for one in before):
            return planned
        return min(planned, sum(one.status == TrialStatus.COMPLETED for one in before))

    def _is_full(self, bracket: dict[str, Any]) -> bool:
        """Return True if a bracket has all its trials."""
        return all(len(one) >= self._size(bracket, number) for number, one in enumerate(bracket["rounds"]))

    def _is_last(self) -> bool:
        """Return True if no other bracket follows the current one."""
        return self._current_bracket == 0 and self._current_iteration + 1 >= self.hyperband_iterations

    def _trials_of(self, entries: list[dict[str, Any]]) -> list[TunerTrial]:
        return [self.trials[one["id"]] for one in entries]


def planned_trials(method: Hyperband, epochs: int) -> tuple[int, int]:
    """Return the numbers of trials of the first bracket, and of the whole algorithm."""
    any_objective = keras_tuner.Objective("val_accuracy", "max")
    brackets = HyperbandOracle(any_objective, max_epochs=epochs, factor=method.factor).planned()
    return brackets[0], method.iterations * sum(brackets)
