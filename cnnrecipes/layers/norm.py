"""Normalization by name, for activations of shape (N, H, W, C); scale and shift are per channel in every kind.

| kind     | statistics over                              | source                                   |
|----------|----------------------------------------------|------------------------------------------|
| batch    | N, H, W, for each channel                    | Ioffe & Szegedy 2015, algorithm 1        |
| layer    | H, W, C, for each sample                     | Ba et al. 2016; Wu & He 2018, section 3  |
| instance | H, W, for each sample and channel            | Ulyanov et al. 2016, eq. 7               |
| group    | H, W and a group of channels, for each sample | Wu & He 2018, eq. 7                     |
| channel  | C, for each sample and position              | keras.layers.LayerNormalization(-1)      |
| none     | (no normalization; the layers before it get a bias) |                                   |
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras

from cnnrecipes.errors import ModelError, UnknownNameError
from cnnrecipes.layers.accepted_arguments import takes
from cnnrecipes.layers.fast_group_norm import FastGroupNormalization
from cnnrecipes.layers.fused_kernel_batch_norm import FusedBatchNormalization

NormFactory = Callable[..., keras.Layer]

# The papers' and PyTorch's values; with Keras' defaults (0.99, 1e-3) the moving statistics lag in short trainings.
MOMENTUM = 0.9
EPSILON = 1e-5


def norm(kind: str | NormFactory, groups: int = 8) -> NormFactory:
    """Return the factory of a normalization: call it with `name=` (and `gamma_initializer=`) to get a layer.

    Args:
        kind: a name of the table above, or a user-defined factory, which takes `name=` and `gamma_initializer=` and is
            returned unchanged.
        groups: number of groups of kind "group"; must divide the channels.

    Returns:
        the factory; that of "none" returns identity layers.

    Raises:
        UnknownNameError: no such kind.
        ModelError: a factory that does not take these keywords.
    """
    if callable(kind):
        for keyword in ("name", "gamma_initializer"):
            if not takes(kind, keyword):
                raise ModelError(
                    f"the norm {kind!r} does not take {keyword}=; give one that takes it, for example a Keras layer"
                )
        return kind
    if kind not in KINDS:
        raise UnknownNameError("normalization", kind, KINDS)
    return KINDS[kind](groups)


def synchronized_batch_norm() -> NormFactory:
    """Return the factory of Keras' synchronized batch norm, over all replicas of a `tf.distribute` strategy."""
    return functools.partial(keras.layers.BatchNormalization, momentum=MOMENTUM, epsilon=EPSILON, synchronized=True)


def _group_norm(groups: int) -> NormFactory:
    return functools.partial(FastGroupNormalization, groups=groups, epsilon=EPSILON)


def _no_norm(*, name: str | None = None, gamma_initializer: str = "ones") -> keras.Layer:
    return keras.layers.Identity(name=name)


KINDS: dict[str, Callable[[int], NormFactory]] = {
    "batch": lambda groups: functools.partial(FusedBatchNormalization, momentum=MOMENTUM, epsilon=EPSILON),
    "layer": lambda groups: _group_norm(1),
    "instance": lambda groups: _group_norm(-1),
    "group": _group_norm,
    "channel": lambda groups: functools.partial(keras.layers.LayerNormalization, axis=-1, epsilon=EPSILON),
    "none": lambda groups: _no_norm,
}
