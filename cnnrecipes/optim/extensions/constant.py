"""Extension with a constant learning rate."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from cnnrecipes.optim.schedule_extension_registry import Extension, PlannedEpochs, extension
from cnnrecipes.optim.schedule_registry import Shape, constant


@extension("constant")
class Hold(Extension):
    """A given learning rate in all epochs by which `extend` continues a finished training."""

    learning_rate: float = Field(gt=0)
    planned: PlannedEpochs = None

    def rate(self, own: Callable[[int], Shape], start: int, end: int) -> Shape:
        return constant(self.learning_rate)
