"""Extensions of a schedule: how the learning rate continues after the end of a training; base class and registry.

`cnnrecipes extend` writes them: `optimizer.extensions = ["restart(40)"]`. An extension is one class, in any module:

    @extension("half")
    class Half(Extension):
        '''The recipe's schedule again, with half of the learning rate.'''

        def rate(self, own, start, end):
            again = own(end - start)
            return lambda step: 0.5 * again(step - start)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from cnnrecipes.optim.schedule_registry import Shape
from cnnrecipes.syntax.call_syntax import Call
from cnnrecipes.syntax.registry import Registry

PlannedEpochs = Annotated[
    int | None, Field(ge=1, description="planned epochs of the original training, if it was stopped early")
]


class Extension(Call):
    """Base class of extensions: the learning rate of the epochs that `cnnrecipes extend` adds to a finished training.

    To extend trainings that early stopping ended, a subclass needs the field `planned: PlannedEpochs = None`; `extend`
    sets it then to the number of epochs for which the training was planned.
    """

    epoch: int = Field(ge=1, description="epoch after which the extension begins")

    @property
    def planned_epochs(self) -> int:
        """Number of epochs planned for the training before this extension."""
        return getattr(self, "planned", None) or self.epoch

    def rate(self, own: Callable[[int], Shape], start: int, end: int) -> Shape:
        """Return the learning rate in the extension, as a function of the step counted from the start of the training.

        The function is used from step `start` on; the earlier steps keep their learning rate.

        Args:
            own: `own(n)` is the learning rate of the recipe's warm-up and schedule over n steps, as a function of the
                step, 0..n - 1.
            start, end: first step of the extension, and the step after its last, both counted from the start of the
                training.
        """
        raise NotImplementedError(f"{type(self).__name__} must define rate()")


EXTENSIONS: Registry[Extension] = Registry("extension", Extension, f"{__package__}.extensions")
extension = EXTENSIONS.register
