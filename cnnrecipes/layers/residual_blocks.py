"""Residual blocks: a branch of convolutions added to a shortcut, in post- and in pre-activation order.

The branch is data: `Branch(basic_convs(64))`. `residual_block` builds it between its shortcut and its addition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras

from cnnrecipes.layers.layer_factory_bundle import LayerFactories
from cnnrecipes.layers.shortcuts import initial_factor


class Conv(NamedTuple):
    """One convolution of a residual branch."""

    width: int
    kernel: int = 3
    stride: int = 1
    groups: int = 1


def nothing(x, *, name: str):
    """Return x unchanged, without adding a layer."""
    return x


@dataclass(frozen=True)
class Branch:
    """The residual branch of a block.

    Attributes:
        convs: the convolutions, first to last.
        last_gamma: initializer of the last norm's gamma in post-activation order, "zeros" or "ones". None: zeros, so
            that the block starts as its shortcut (Goyal et al. 2017, section 5.1), unless the shortcut leaves a
            channel empty (`carries_every_channel`).
        before_last: `before_last(y, name=)` is applied before the last convolution, for example dropout.
        at_end: `at_end(y, name=)` is applied before the addition, for example squeeze-and-excitation.
    """

    convs: tuple[Conv, ...]
    last_gamma: str | None = None
    before_last: Callable[..., Any] = nothing
    at_end: Callable[..., Any] = nothing

    @property
    def width(self) -> int:
        """Number of output channels."""
        return self.convs[-1].width

    @property
    def stride(self) -> int:
        """Product of the strides of the convolutions."""
        return math.prod(conv.stride for conv in self.convs)


def basic_convs(width: int, stride: int = 1) -> tuple[Conv, ...]:
    """Return two 3x3 convolutions (He et al. 2015, fig. 5, left); the first has the stride."""
    return Conv(width, 3, stride), Conv(width, 3)


def bottleneck_convs(
    width: int, stride: int = 1, *, inner: int | None = None, groups: int = 1, first_strides: bool = False
) -> tuple[Conv, ...]:
    """Return 1x1, 3x3 and 1x1 convolutions to `width` channels (He et al. 2015, fig. 5, right).

    Args:
        inner: channels of the first two convolutions; None: width // 4.
        groups: groups of the 3x3 convolution (Xie et al. 2016, fig. 3c).
        first_strides: the first 1x1 has the stride, as in the paper ("v1"); else the 3x3, as in torchvision ("v1.5").
    """
    inner = inner or width // 4
    first, second = (stride, 1) if first_strides else (1, stride)
    return Conv(inner, 1, first), Conv(inner, 3, second, groups), Conv(width, 1)


def residual_block(
    x,
    branch: Branch,
    *,
    factories: LayerFactories,
    shortcut: Callable[..., Any],
    preactivation: bool = False,
    name: str,
):
    """Add a branch of convolutions to a shortcut: (N, H, W, C) -> (N, H / stride, W / stride, width).

    Post-activation (He et al. 2015, fig. 2): each convolution is followed by a normalization and an activation; the
    last activation follows the addition. Pre-activation (He et al. 2016, fig. 1b and eq. 5): they precede each
    convolution, and a shortcut that changes the shape branches off after the first activation.

    Args:
        shortcut: `shortcut(x, width, stride=, conv=, norm=, name=)` returns what the branch is added to, or None for
            no addition; see `layers.SHORTCUTS`.
    """
    place = {"stride": branch.stride, "conv": factories.conv, "name": f"{name}_shortcut"}
    if preactivation:
        y = factories.norm_act(x, norm=f"{name}_norm1", act=f"{name}_act1")
        changes_shape = branch.stride != 1 or x.shape[-1] != branch.width
        beside = shortcut(y if changes_shape else x, branch.width, norm=None, **place)
        y = branch.at_end(_convolve(y, branch, factories, first_norm=2, name=name), name=name)
        return _add(y, beside, name)
    y = _convolve(x, branch, factories, first_norm=1, name=name)
    last_gamma = branch.last_gamma or initial_factor(shortcut, x.shape[-1], branch.width)
    y = factories.norm(gamma_initializer=last_gamma, name=f"{name}_norm{len(branch.convs)}")(y)
    y = branch.at_end(y, name=name)
    y = _add(y, shortcut(x, branch.width, norm=factories.norm, **place), name)
    return factories.activation(name=f"{name}_out")(y)


def _convolve(y, branch: Branch, factories: LayerFactories, *, first_norm: int, name: str):
    """Apply the convolutions with a normalization and an activation between them, numbered from `first_norm`."""
    for i, conv in enumerate(branch.convs):
        if i:
            y = factories.norm_act(y, norm=f"{name}_norm{i - 1 + first_norm}", act=f"{name}_act{i - 1 + first_norm}")
        if i == len(branch.convs) - 1:
            y = branch.before_last(y, name=name)
        sizes = {"stride": conv.stride, "groups": conv.groups}
        y = factories.conv(y, conv.width, conv.kernel, **sizes, name=f"{name}_conv{i + 1}")
    return y


def _add(branch, beside, name: str):
    return branch if beside is None else keras.layers.Add(name=f"{name}_add")([beside, branch])
