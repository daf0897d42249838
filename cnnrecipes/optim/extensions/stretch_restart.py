"""Extensions `stretch` and `restart`, which continue with the recipe's own schedule."""

from __future__ import annotations

from collections.abc import Callable

from cnnrecipes.optim.schedule_extension_registry import Extension, PlannedEpochs, extension
from cnnrecipes.optim.schedule_registry import Shape


@extension("stretch")
class Stretch(Extension):
    """The rest of the recipe's schedule, rescaled as if the total length had been planned from the start."""

    planned: PlannedEpochs = None

    def rate(self, own: Callable[[int], Shape], start: int, end: int) -> Shape:
        return own(end)


@extension("restart")
class Restart(Extension):
    """The recipe's warm-up and schedule from the start, over the additional epochs."""

    planned: PlannedEpochs = None

    def rate(self, own: Callable[[int], Shape], start: int, end: int) -> Shape:
        again = own(end - start)
        return lambda step: again(step - start)
