"""Freezing of layers by stage: which layers a fine-tuning trains, and at which learning rates."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from cnnrecipes.errors import ModelError
from cnnrecipes.models import layers_by_stage

ALL = "all"  # `transfer.train_from`: no stage is frozen
HEAD = "head"  # a key of `layers_by_stage`
_DROP_RATES = ("rate", "drop_path_rate")  # attributes of Keras' dropouts, and of ConvNeXt's stochastic depth


def backbone_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a classifier of `models.build` before its head. Raises ModelError for one without stages."""
    return [layer for name, layers in layers_by_stage(model).items() if name != HEAD for layer in layers]


def frozen_stages(model: keras.Model, train_from: str) -> list[str]:
    """Return the names of the stages below `train_from`, the stem first.

    Raises:
        ModelError: the model has no stage of this name.
    """
    names = list(layers_by_stage(model))
    if train_from == ALL:
        return []
    if train_from not in names[1:-1]:
        raise ModelError(
            f"transfer.train_from = {train_from!r} is not a stage of {model.name}; its stages are "
            f"{', '.join(names[1:-1])}, and {ALL!r} trains the stem too; transfer.how = 'features' trains only the head"
        )
    return names[: names.index(train_from)]


def tensors_above(model: keras.Model, names: Sequence[str]) -> list[keras.KerasTensor]:
    """Return the outputs of the stages `names` that layers of other stages take."""
    groups = layers_by_stage(model)
    below = {id(layer) for name in names for layer in groups[name]}
    produced = {id(tensor): tensor for layer in model.layers if id(layer) in below for tensor in _flat(layer.output)}
    above = [layer for layer in model.layers if id(layer) not in below]
    taken = {id(tensor) for layer in above for tensor in _flat(layer.input)}
    return [tensor for key, tensor in produced.items() if key in taken]


def freeze(layers: Sequence[keras.layers.Layer]) -> None:
    """Exclude layers from the training: no weight changes, and dropout and batch norm work as at inference."""
    for layer in layers:
        layer.trainable = False
        for rate in _DROP_RATES:  # Keras has no switch for the dropout of one layer in a model that is trained
            if hasattr(layer, rate):
                setattr(layer, rate, 0.0)


def use_moving_statistics(layers: Sequence[keras.layers.Layer]) -> None:
    """Let batch norms normalize by their moving statistics in training too; gamma and beta are trained.

    Raises:
        ModelError: a batch norm of another class, which cannot.
    """
    for layer in layers:
        if hasattr(layer, "frozen_statistics"):
            layer.frozen_statistics = True
        elif isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            raise ModelError(
                f"{layer.name} is a {type(layer).__module__}.BatchNormalization, which cannot train in inference mode; "
                "build the backbone with the norm of cnnrecipes.layers, or set transfer.batch_norm = 'train'"
            )


def stage_rates(model: keras.Model, stage_decay: float) -> dict[str, float]:
    """Return the learning rate multiplier of each trainable variable by its path: stage_decay^(stages after it).

    The head counts as a stage: its multiplier is 1, that of the last stage `stage_decay`, and the stem has the lowest.
    """
    groups = layers_by_stage(model)
    return {
        variable.path: stage_decay**after
        for after, name in enumerate(reversed(groups))
        for layer in groups[name]
        for variable in layer.trainable_variables
    }


def _flat(tensors) -> list[keras.KerasTensor]:
    return keras.tree.flatten(tensors)
