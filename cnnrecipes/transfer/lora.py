"""`LoraPlan`: low-rank adaptation (LoRA, Hu et al. 2021, arXiv:2106.09685) of a pretrained backbone.

The kernel of a convolution or a dense layer, as a matrix of m inputs x n outputs, becomes W + A B with A (m, rank),
drawn, and B (rank, n), 0 at the start; A and B are trained. Depthwise convolutions are frozen: as a matrix, 9 x
channels, their kernel has a rank of at most 9, and an update of rank 8 would have more than 8/9 of its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from cnnrecipes.errors import ModelError, RecipeError, counted
from cnnrecipes.runs.trained_part import LORA_A, LORA_B, TrainedPart, whole_weights
from cnnrecipes.transfer.layer_freezing import backbone_layers, freeze
from cnnrecipes.transfer.plan import TransferPlan


@dataclass(frozen=True)
class LoraPlan(TransferPlan):
    """Updates of rank `transfer.rank` of the backbone's kernels, and the head, trained from `start_weights`.

    A kernel whose update would have as many values as itself is trained directly: that takes less, and no rank limits
    it. Everything else is frozen and works as at inference: biases, batch norms, depthwise convolutions.
    """

    def build(self, norm: Callable | None = None) -> keras.Model:
        """Return the whole model with low-rank updates, which are 0: B is."""
        model = self.start_model()
        adapt(backbone_layers(model), self.recipe.transfer.rank, self.recipe.train.seed)
        return model

    def learning_rates(self, model: keras.Model) -> dict[str, float]:
        """Return the multipliers: `transfer.update_rate` for the factors of low-rank updates.

        Raises:
            RecipeError: `optimizer.layer_decay` is set.
        """
        if (decay := self.recipe.optimizer.layer_decay) is not None:
            raise RecipeError(
                f"optimizer.layer_decay = {decay} has no meaning for low-rank updates; leave it out, or set "
                "transfer.how = 'finetune'"
            )
        factors = [v for v in model.trainable_variables if v.path.endswith((LORA_A, LORA_B))]
        return {variable.path: self.recipe.transfer.update_rate for variable in factors}

    def adaptation(self, model: keras.Model) -> str:
        """Return the number of kernels that get updates of this rank, and that of the smaller ones, trained whole."""
        kernels = _kernels(backbone_layers(model))
        whole = sum(not layer.lora_enabled for layer in kernels)
        smaller = f", {counted(whole, 'smaller kernel')} trained whole" if whole else ""
        return f"updates of rank {self.recipe.transfer.rank} of {counted(len(kernels) - whole, 'kernel')}{smaller}"

    def artifact(self, weights: Sequence[np.ndarray]) -> keras.Model:
        """Return the whole model, with the low-rank updates added to its kernels.

        Args:
            weights: those of the model of `build` after training, in the order of its `weights`.
        """
        whole, part = self.whole(), TrainedPart.of(self.build())
        trained = dict(zip(part.weights, weights, strict=True))
        whole.set_weights(whole_weights([weight.path for weight in whole.weights], self.start_weights, trained))
        return whole


def adapt(layers: Sequence[keras.layers.Layer], rank: int, seed: int) -> None:
    """Let only low-rank updates of the layers' kernels be trained, or the kernels themselves where they are smaller.

    Args:
        layers: the layers of a backbone.
        rank: rank of the updates.
        seed: of the initial values of A, which depend on nothing else.

    Raises:
        ModelError: the rank leaves no kernel that its update is smaller than.
    """
    kernels = _kernels(layers)
    check_rank(layers, rank)
    freeze([layer for layer in layers if layer not in kernels])
    for number, layer in enumerate(kernels):
        if layer.use_bias:
            layer.bias.trainable = False
        if _saves(layer, rank):
            layer.enable_lora(rank, a_initializer=keras.initializers.HeUniform(seed + number))


def check_rank(layers: Sequence[keras.layers.Layer], rank: int) -> None:
    """Raise ModelError if the rank leaves no kernel that its update is smaller than."""
    kernels = _kernels(layers)
    if not any(_saves(layer, rank) for layer in kernels):
        raise ModelError(_too_high(kernels, rank))


def _kernels(layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    return [layer for layer in layers if type(layer) in (keras.layers.Conv2D, keras.layers.Dense)]


def _matrix(layer: keras.layers.Layer) -> tuple[int, int]:
    """Return the shape of a kernel as a matrix: values of the input per position, outputs."""
    *inputs, outputs = layer.kernel.shape
    return int(np.prod(inputs)), outputs


def _saves(layer: keras.layers.Layer, rank: int) -> bool:
    inputs, outputs = _matrix(layer)
    return rank * (inputs + outputs) < inputs * outputs


def _too_high(kernels: Sequence[keras.layers.Layer], rank: int) -> str:
    if not kernels:
        return "transfer.how = 'lora' adapts convolutions and dense layers, and the backbone has none; set 'finetune'"
    largest = max(kernels, key=lambda layer: np.prod(_matrix(layer)) / sum(_matrix(layer)))
    inputs, outputs = _matrix(largest)
    most = (inputs * outputs - 1) // (inputs + outputs)
    return (
        f"transfer.rank = {rank} is too high for every kernel of the backbone: an update of {largest.name}, "
        f"{inputs} x {outputs} and of rank {min(inputs, outputs)} at most, would have as many values as the kernel; "
        f"set transfer.rank to {most} at most, or transfer.how = 'finetune'"
    )
