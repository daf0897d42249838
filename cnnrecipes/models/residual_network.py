"""Builder of residual networks: ResNet, plain networks, wide ResNet and ResNeXt.

| variant | change                                                                       | source                     |
|---------|------------------------------------------------------------------------------|----------------------------|
| v1      | the first 1x1 convolution of a bottleneck has the stride                     | He et al. 2015             |
| v1.5    | its 3x3 convolution has the stride                                           | torchvision, fb.resnet     |
| v2      | normalization and activation before each convolution                         | He et al. 2016             |
| d       | v1.5 with a stem of three 3x3 convolutions and averaging shortcuts           | He et al. 2018, fig. 2     |
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnrecipes import layers
from cnnrecipes.errors import ModelError
from cnnrecipes.layers import LayerFactories, conv_norm_act, shortcuts
from cnnrecipes.models.architecture import check_stages, option
from cnnrecipes.recipe import schema

# Options of every residual network, with their defaults.
RESIDUAL = {
    "pool": "max",
    "variant": "v1.5",
    "zero_init_residual": None,
    "branch_scale": None,
    "block_dropout": 0.0,
    "spatial_dropout": 0.0,
    "stochastic_depth": 0.0,
    "squeeze_excite": None,
}


def residual_network(
    x,
    spec: schema.Model,
    factories: LayerFactories,
    *,
    bottleneck: bool = False,
    stem_width: int = 64,
    inner: float = 0.25,
    groups: int = 1,
):
    """Build a residual network up to its head: (N, H, W, C) -> (N, H / 32, W / 32, last width).

    With the CIFAR stem the output has H / 2^(stages - 1) rows.

    Args:
        bottleneck: bottleneck blocks instead of basic ones.
        stem_width: channels of the stem.
        inner: channels of a bottleneck's 3x3 convolution for each output channel.
        groups: groups of that convolution.

    Raises:
        ModelError: depths and widths of two lengths, or options that exclude each other.
    """
    depths, widths = check_stages(spec)
    scaled = _scales_branches(spec)
    last_gamma = None if _starts_as_identity(spec, scaled) else "ones"
    x = _stem(x, spec, stem_width, factories)
    shortcut, convs = _shortcut(spec), _convs(spec, bottleneck, inner, groups)
    rates = np.linspace(0, spec.stochastic_depth, sum(depths) + 1)[1:].tolist()
    for s, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        for b in range(1, depth + 1):
            scale = shortcuts.initial_factor(shortcut, x.shape[-1], width) if scaled else None
            branch = layers.Branch(
                convs(width, 2 if s > 1 and b == 1 else 1),
                last_gamma,
                before_last=functools.partial(_dropouts, spec=spec),
                at_end=_branch_end(spec, scale, rates.pop(0), factories),
            )
            x = layers.residual_block(
                x,
                branch,
                factories=factories,
                shortcut=shortcut,
                preactivation=spec.variant == "v2",
                name=f"stage{s}_block{b}",
            )
    return factories.norm_act(x, norm="last_norm", act="last_act") if spec.variant == "v2" else x


def _starts_as_identity(spec: schema.Model, scaled: bool) -> bool:
    """Return True if the last gamma starts at 0, in blocks whose shortcut carries every channel.

    Raises:
        ModelError: zero_init_residual where no block has a last norm and a shortcut, or with factors of 0, where
            neither would get a gradient.
    """
    possible = spec.variant != "v2" and spec.shortcut != "none" and spec.norm != "none"
    if spec.zero_init_residual and not possible:
        raise ModelError(
            f"{spec.name}: zero_init_residual needs a last norm beside a shortcut; leave it out with "
            f"variant {spec.variant!r}, shortcut {spec.shortcut!r}, norm {spec.norm!r}"
        )
    if spec.zero_init_residual and scaled:
        raise ModelError(
            f"{spec.name}: zero_init_residual with branch_scale = {spec.branch_scale!r}: two factors of 0 hide each "
            "other from the gradient; leave one of them out"
        )
    return possible and not scaled if spec.zero_init_residual is None else spec.zero_init_residual


def _scales_branches(spec: schema.Model) -> bool:
    """Return True if branches end in a learnable scale, by default in networks without norms.

    Raises:
        ModelError: `branch_scale` without shortcuts.
    """
    if spec.branch_scale == "skipinit" and spec.shortcut == "none":
        raise ModelError(f"{spec.name}: branch_scale needs shortcuts, got shortcut 'none'; leave one of the two out")
    return spec.shortcut != "none" and (spec.branch_scale or ("skipinit" if spec.norm == "none" else "none")) != "none"


def _stem(x, spec: schema.Model, width: int, factories: LayerFactories):
    bare = spec.variant == "v2"  # the first block brings the normalization and the activation
    if spec.stem == "cifar":
        if spec.pool != "max":
            raise ModelError(f"{spec.name}: nothing is pooled after the CIFAR stem; leave pool = {spec.pool!r} out")
        if bare:
            return factories.conv(x, width, 3, stride=1, name="stem_conv")
        return conv_norm_act(x, width, factories=factories, name="stem")
    if spec.variant == "d":
        x = conv_norm_act(x, width // 2, stride=2, factories=factories, name="stem_1")
        x = conv_norm_act(x, width // 2, factories=factories, name="stem_2")
        x = conv_norm_act(x, width, factories=factories, name="stem_3")
    elif bare:
        x = factories.conv(x, width, 7, stride=2, name="stem_conv")
    else:
        x = conv_norm_act(x, width, 7, stride=2, factories=factories, name="stem")
    return factories.pool(x, 3, stride=2, name="stem_pool")


def _convs(spec: schema.Model, bottleneck: bool, inner: float, groups: int) -> Callable[..., tuple[layers.Conv, ...]]:
    """Return a function of (width, stride) to the convolutions of a block."""
    if not bottleneck:
        return layers.basic_convs

    def convs(width: int, stride: int) -> tuple[layers.Conv, ...]:
        sizes = {"inner": int(width * inner), "groups": groups}
        return layers.bottleneck_convs(width, stride, **sizes, first_strides=spec.variant == "v1")

    return convs


def _shortcut(spec: schema.Model) -> Callable[..., Any]:
    shortcut = shortcuts.SHORTCUTS[option(spec, "shortcut")]
    if spec.variant != "d" or spec.shortcut == "none":
        return shortcut
    return shortcuts.averaging_shortcut(shortcut)


def _dropouts(y, *, name: str, spec: schema.Model):
    y = layers.spatial_dropout(y, spec.spatial_dropout, name=f"{name}_spatial_dropout")
    return layers.dropout(y, spec.block_dropout or 0.0, name=f"{name}_dropout")


def _branch_end(spec: schema.Model, scale: str | None, rate: float, factories: LayerFactories) -> Callable[..., Any]:
    """Return the function that ends a branch: squeeze-and-excitation, learnable scale and stochastic depth.

    Args:
        scale: initializer of the learnable scale; None: without.
        rate: probability of dropping the branch.
    """
    if spec.shortcut == "none" and spec.stochastic_depth:
        raise ModelError(
            f"{spec.name}: stochastic_depth = {spec.stochastic_depth} skips blocks, and without shortcuts nothing "
            "would be left; leave stochastic_depth out"
        )

    def end(y, *, name: str):
        if spec.squeeze_excite:
            y = layers.squeeze_excite(y, spec.squeeze_excite, factories=factories, name=f"{name}_se")
        if scale:
            y = layers.scale_channels(y, scale, name=f"{name}_scale")
        return layers.stochastic_depth(y, rate, name=f"{name}_stochastic_depth")

    return end
