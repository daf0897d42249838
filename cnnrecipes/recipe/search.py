"""Recipe table `search`: a search over keys of the recipe, its method, its pruning, and its space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from cnnrecipes.recipe.section import Section
from cnnrecipes.recipe.space import Entry, flat_space, parse_space
from cnnrecipes.syntax.call_syntax import Call, parse_call

_TRIALS = 20  # by default


class Method(Call):
    """Base class of search methods, which propose the values of a trial."""


class Random(Method):
    """Independent random values; the same values are not tried twice."""


class Bayesian(Method):
    """Bayesian optimization with a Gaussian process, after `initial` random trials.

    alpha: variance of the noise of a score; beta: how far unknown values are explored (Matern kernel, lower confidence
    bound; `keras_tuner.BayesianOptimization`). Without `initial`: 2 per key, from 4 to 10.
    """

    initial: int | None = Field(default=None, ge=1)
    alpha: float = Field(default=1e-4, gt=0)
    beta: float = Field(default=2.6, gt=0)

    def random_trials(self, keys: int) -> int:
        """Return the number of completed random trials before the first proposal, in a space of so many keys."""
        return self.initial or min(max(2 * keys, 4), 10)


class Hyperband(Method):
    """Hyperband (Li et al. 2018): many trials of few epochs, of which one in `factor` continues for more.

    iterations: how often the whole algorithm runs. Without `trials` it runs to its end; `trials` is an upper limit.
    """

    factor: int = Field(default=3, ge=2)
    iterations: int = Field(default=1, ge=1)


class Pruning(Call):
    """Base class of rules that end a trial early."""


class NoPruning(Pruning):
    """Every trial is trained to its end."""


class MedianPruning(Pruning):
    """Ends a trial whose best epoch so far is worse than the median of the completed trials at the same epoch.

    startup: completed trials before the first is pruned; warmup: epochs that no trial is pruned in; interval: epochs
    between two checks (Optuna's MedianPruner, with its defaults).
    """

    startup: int = Field(default=5, ge=0)
    warmup: int = Field(default=0, ge=0)
    interval: int = Field(default=1, ge=1)


class HalvingPruning(Pruning):
    """Asynchronous successive halving (ASHA, Li et al. 2020): one in `factor` trials passes each rung.

    The rungs are the epochs first, first * factor, first * factor**2, ...; as Optuna's SuccessiveHalvingPruner, with
    its defaults.
    """

    first: int = Field(default=1, ge=1)
    factor: int = Field(default=4, ge=2)


METHODS: dict[str, type[Method]] = {"random": Random, "bayesian": Bayesian, "hyperband": Hyperband}
PRUNING: dict[str, type[Pruning]] = {"none": NoPruning, "median": MedianPruning, "halving": HalvingPruning}


def _readable(known: Mapping[str, type[Any]], kind: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        parse_call(text, known, kind)
        return text

    return check


def _readable_space(table: dict[str, Any]) -> dict[str, Any]:
    parse_space(table)
    return table


class Search(Section):
    """Recipe table `search`: the search of `cnnrecipes tune`; does not affect a training."""

    method: Annotated[str, AfterValidator(_readable(METHODS, "search method"))] = Field(
        default="random", description='"random", "bayesian" or "hyperband", for example "bayesian(initial=10)"'
    )
    trials: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="maximum number of trials; without it 20, or as many as hyperband has",
    )
    objective: Literal["val_accuracy", "val_loss"] = Field(
        default="val_accuracy", description="validation metric that ranks the trials: the highest or the lowest is best"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="decides all values and the seed of each trial")
    pruning: Annotated[str, AfterValidator(_readable(PRUNING, "pruning rule"))] = Field(
        default="none",
        description='"none", "median" or "halving", for example "median(startup=5, warmup=2, interval=1)"',
    )
    best: int = Field(default=3, ge=0, description="number of best trials that are trained again after the search")
    seeds: int = Field(default=3, ge=1, description="trainings of each of them, with seeds that the search did not use")
    space: Annotated[dict[str, Any], BeforeValidator(flat_space), AfterValidator(_readable_space)] = Field(
        default_factory=dict,
        description='keys and their values, for example "optimizer.learning_rate" = "log(1e-3, 1)"',
    )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries of the space, each after those that its conditions name."""
        return parse_space(self.space)

    @property
    def limit(self) -> int:
        """The maximum number of trials."""
        return self.trials or _TRIALS

    @property
    def maximizes(self) -> bool:
        """True if a higher objective is better."""
        return self.objective == "val_accuracy"

    @property
    def proposals(self) -> Method:
        """The method as an object with its parameters."""
        return parse_call(self.method, METHODS, "search method")

    @property
    def rule(self) -> Pruning:
        """The pruning rule as an object with its parameters."""
        return parse_call(self.pruning, PRUNING, "pruning rule")
