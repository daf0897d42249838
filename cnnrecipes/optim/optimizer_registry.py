"""Optimizers: base class and registry; `"adamw(beta_2=0.99)"` in a recipe is a call of a registered class.

An optimizer is one class, in any module: its fields are the parameters that a recipe may give.

    @optimizer("heavy_ball")
    class HeavyBall(Optimizer):
        '''Gradient descent with momentum (Polyak 1964).'''

        beta: Decay = 0.9
        slots = ("momentum",)

        def step(self, optimizer, gradient, variable, learning_rate, momentum):
            optimizer.assign(momentum, self.beta * momentum + gradient)
            optimizer.assign_sub(variable, learning_rate * momentum)

Learning rate, weight decay, gradient clipping, layer-wise rates and weight averages are keys of the `optimizer` table
of a recipe and work with every class. The modules of `optimizers/` are imported when a name is first looked up. A
module outside of the package registers its optimizers when it is imported; the environment variable CNNRECIPES_PLUGINS
lists modules for the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field

from cnnrecipes.syntax.call_syntax import Call
from cnnrecipes.syntax.registry import Registry

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    Slots = tuple[keras.Variable, ...]

Decay = Annotated[float, Field(ge=0, lt=1)]


class KerasOptimizer(Protocol):
    """The part of `RecipeOptimizer`, a Keras optimizer, that optimizers and weight averages use.

    Attributes:
        rule: the registered optimizer.
        iterations: optimizer steps so far.
        momentum: `optimizer.momentum` of the recipe.
        decoupled_decay: coefficient of the decoupled weight decay, 0 if there is none.
        assign, assign_add, assign_sub: change a variable.
        add_optimizer_variables, add_variable_from_reference: create state variables.
    """

    rule: Optimizer
    iterations: keras.Variable
    momentum: float
    decoupled_decay: float
    assign: Callable[[keras.Variable, tf.Tensor], None]
    assign_add: Callable[[keras.Variable, tf.Tensor], None]
    assign_sub: Callable[[keras.Variable, tf.Tensor], None]
    add_optimizer_variables: Callable[..., Any]
    add_variable_from_reference: Callable[..., keras.Variable]

    def decays(self, variable: keras.Variable) -> bool:
        """Return whether weight decay applies to this variable."""

    def slots(self, variable: keras.Variable) -> Slots:
        """Return the state variables of a trainable variable."""


class Optimizer(Call):
    """Base class of optimizers: the update of one variable. `RecipeOptimizer` wraps one as a Keras optimizer.

    Attributes:
        slots: names of the state variables per trainable variable, with its shape and dtype, initialized to 0.
        default_decay: kind of weight decay if the recipe has no `optimizer.decay`.
        decays_in_step: `step` applies the decoupled decay itself, of `optimizer.decoupled_decay`, to variables for
            which `optimizer.decays(variable)`.
        averages_weights: the weights for evaluation are an average that the optimizer computes, see `averaged`;
            excludes `optimizer.ema` and `optimizer.lookahead`.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    default_decay: ClassVar[Literal["coupled", "decoupled"]] = "decoupled"
    decays_in_step: ClassVar[bool] = False
    averages_weights: ClassVar[bool] = False

    def step(
        self,
        optimizer: KerasOptimizer,
        gradient: tf.Tensor,
        variable: keras.Variable,
        learning_rate: tf.Tensor,
        *slots: keras.Variable,
    ) -> None:
        """Update one variable.

        Args:
            optimizer: the Keras optimizer, which has the attributes `iterations`, `momentum` and `decoupled_decay`;
                its methods `assign`, `assign_add` and `assign_sub` change a variable.
            gradient: after clipping and coupled weight decay; shape and dtype of the variable.
            variable: the trainable variable, after decoupled weight decay.
            learning_rate: of this step and this variable, a scalar of the variable's dtype.
            slots: the variable's state, in the order of `self.slots`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step()")

    def create_slots(self, optimizer: KerasOptimizer, variables: Sequence[keras.Variable]) -> list[Slots]:
        """Create the state variables of all trainable variables, one tuple per trainable variable."""
        if not self.slots:
            return [()] * len(variables)
        return list(zip(*optimizer.add_optimizer_variables(variables, list(self.slots)), strict=True))

    def rate_factor(self, *slots: keras.Variable) -> float:
        """Return the factor of a variable's learning rate and decoupled decay, given its state."""
        return 1.0

    def averaged(self, variable: keras.Variable, *slots: keras.Variable) -> tf.Tensor:
        """Return the value of a variable for evaluation; called if `averages_weights`."""
        raise NotImplementedError(f"{type(self).__name__} must define averaged()")


OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", Optimizer, f"{__package__}.optimizers")
optimizer = OPTIMIZERS.register
