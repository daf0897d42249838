"""ResNet (He et al. 2015, arXiv:1512.03385): the CIFAR nets of section 4.2 and the ImageNet nets of table 1.

Plain networks, wide ResNets and ResNeXt use the same builder.

| variant | what it changes                                                              | source                     |
|---------|------------------------------------------------------------------------------|----------------------------|
| v1      | the first 1x1 convolution of a bottleneck strides                            | He et al. 2015             |
| v1.5    | its 3x3 convolution strides                                                  | torchvision, fb.resnet     |
| v2      | normalization and activation before each convolution                         | He et al. 2016             |
| d       | v1.5 with a stem of three 3x3 convolutions and averaging shortcuts           | He et al. 2018, fig. 2     |
"""

from __future__ import annotations

import functools

import numpy as np

from cnnrecipes import layers
from cnnrecipes.errors import ModelError
from cnnrecipes.layers import conv_norm_act, shortcuts
from cnnrecipes.models.architecture import CIFAR, IMAGENET, Architecture, check_stages

# depth -> blocks in each of the three stages of 16, 32 and 64 channels: depth = 6 n + 2
CIFAR_DEPTHS = {6 * n + 2: n for n in (1, 2, 3, 5, 7, 9, 18)}
CIFAR_WIDTHS = (16, 32, 64)

# depth -> bottleneck blocks?, blocks in each stage
IMAGENET_DEPTHS = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}
BASIC_WIDTHS = (64, 128, 256, 512)
BOTTLENECK_WIDTHS = (256, 512, 1024, 2048)

# Options of every net of residual blocks.
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


def resnet(x, spec, *, bottleneck=False, stem_width=64, inner=None, groups=1, pool, **parts):
    """(N, H, W, C) -> (N, H / 32, W / 32, the last width); the CIFAR stem keeps the size: H / 2^(stages - 1).

    Args:
        bottleneck: bottleneck blocks instead of basic ones.
        stem_width: channels behind the stem.
        inner, groups: of a bottleneck's 3x3 convolution: channels for each output channel (None: 1/4), and groups.

    Raises:
        ModelError: stage lists of two lengths; options that exclude each other.
    """
    check_stages(spec)
    scaled = scales_branches(spec)
    last_gamma = None if starts_as_identity(spec, scaled) else "ones"
    x = _stem(x, spec, stem_width, pool, parts)
    block, shortcut = _block(spec, bottleneck, groups), _shortcut(spec)
    rates = np.linspace(0, spec.stochastic_depth, sum(spec.depths) + 1)[1:].tolist()
    for s, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True), start=1):
        sizes = {"inner": int(width * (inner or 0.25))} if bottleneck else {}
        for b in range(1, depth + 1):
            # A factor of 0 would leave a channel that the shortcut does not carry at 0 for good.
            start = "zeros" if shortcuts.carries_every_channel(shortcut, x.shape[-1], width) else "ones"
            end = functools.partial(_end, spec=spec, scale=start if scaled else None, rate=rates.pop(0), parts=parts)
            x = block(
                x,
                width,
                stride=2 if s > 1 and b == 1 else 1,
                shortcut=shortcut,
                between=functools.partial(_between, spec=spec),
                end=end,
                name=f"stage{s}_block{b}",
                **sizes,
                **({} if spec.variant == "v2" else {"last_gamma": last_gamma}),
                **parts,
            )
    if spec.variant == "v2":
        x = parts["activation"](name="last_act")(parts["norm"](name="last_norm")(x))
    return x


def starts_as_identity(spec, scaled: bool) -> bool:
    """Return whether the last gamma is zero-initialized in blocks whose shortcut carries every channel.

    Raises:
        ModelError: zero_init_residual where no block has a last norm beside a shortcut, or beside factors of 0, with
            which neither would get a gradient.
    """
    possible = spec.variant != "v2" and spec.shortcut != "none" and spec.norm != "none"
    if spec.zero_init_residual and not possible:
        raise ModelError(
            f"{spec.name}: zero_init_residual needs a last norm beside a shortcut; leave it out with "
            f"variant {spec.variant!r}, shortcut {spec.shortcut!r}, norm {spec.norm!r}"
        )
    if spec.zero_init_residual and scaled:
        raise ModelError(
            f"{spec.name}: zero_init_residual beside branch_scale = {spec.branch_scale!r}: two factors of 0 hide each "
            "other from the gradient; leave one of them out"
        )
    return possible and not scaled if spec.zero_init_residual is None else spec.zero_init_residual


def scales_branches(spec) -> bool:
    """Return whether branches end in a learnable scale, by default in networks without norms.

    Raises:
        ModelError: `branch_scale` without shortcuts.
    """
    if spec.branch_scale == "skipinit" and spec.shortcut == "none":
        raise ModelError(f"{spec.name}: branch_scale needs shortcuts, got shortcut 'none'; leave one of the two out")
    return spec.shortcut != "none" and (spec.branch_scale or ("skipinit" if spec.norm == "none" else "none")) != "none"


def _stem(x, spec, width, pool, parts):
    bare = spec.variant == "v2"  # the first block brings the normalization and the activation
    if spec.stem == "cifar":
        if spec.pool != "max":
            raise ModelError(f"{spec.name}: nothing is pooled behind the CIFAR stem; leave pool = {spec.pool!r} out")
        if bare:
            return parts["conv"](x, width, 3, stride=1, name="stem_conv")
        return conv_norm_act(x, width, name="stem", **parts)
    if spec.variant == "d":
        x = conv_norm_act(x, width // 2, stride=2, name="stem_1", **parts)
        x = conv_norm_act(x, width // 2, name="stem_2", **parts)
        x = conv_norm_act(x, width, name="stem_3", **parts)
    elif bare:
        x = parts["conv"](x, width, 7, stride=2, name="stem_conv")
    else:
        x = conv_norm_act(x, width, 7, stride=2, name="stem", **parts)
    return pool(x, 3, stride=2, name="stem_pool")


def _block(spec, bottleneck, groups):
    if spec.variant == "v2":
        if bottleneck:
            return functools.partial(layers.preactivation_bottleneck_block, groups=groups)
        return layers.preactivation_basic_block
    if bottleneck:
        return functools.partial(layers.bottleneck_block, groups=groups, first_strides=spec.variant == "v1")
    return layers.basic_block


def _shortcut(spec):
    if spec.variant != "d" or spec.shortcut == "none":
        return shortcuts.SHORTCUTS[spec.shortcut]
    return shortcuts.averaging_shortcut(shortcuts.SHORTCUTS[spec.shortcut])


def _between(y, *, name, spec):
    y = layers.spatial_dropout(y, spec.spatial_dropout, name=f"{name}_spatial_dropout")
    return layers.dropout(y, spec.block_dropout, name=f"{name}_dropout")


def _end(y, *, name, spec, scale, rate, parts):
    if spec.squeeze_excite:
        conv, activation = parts["conv"], parts["activation"]
        y = layers.squeeze_excite(y, spec.squeeze_excite, conv=conv, activation=activation, name=f"{name}_se")
    if spec.shortcut == "none" and spec.stochastic_depth:
        raise ModelError(f"{spec.name}: stochastic_depth skips blocks, and without shortcuts nothing would be left")
    if scale:
        y = layers.scale_channels(y, scale, name=f"{name}_scale")
    return layers.stochastic_depth(y, rate, name=f"{name}_stochastic_depth")


def cifar_options(blocks: int) -> dict:
    """Return the options of a CIFAR ResNet with this number of blocks per stage."""
    return {"depths": (blocks,) * 3, "widths": CIFAR_WIDTHS, "stem": "cifar", "shortcut": "A", **RESIDUAL}


def imagenet_options(bottleneck: bool, depths: tuple[int, ...]) -> dict:
    """Return the options of an ImageNet ResNet; depths: blocks per stage."""
    widths = BOTTLENECK_WIDTHS if bottleneck else BASIC_WIDTHS
    return {"depths": depths, "widths": widths, "stem": "imagenet", "shortcut": "B", **RESIDUAL}


cifar_resnet = functools.partial(resnet, stem_width=16)

ARCHITECTURES = {
    **{
        f"resnet{depth}": Architecture(cifar_resnet, cifar_options(n), "He et al. 2015, section 4.2", CIFAR)
        for depth, n in CIFAR_DEPTHS.items()
    },
    **{
        f"resnet{depth}": Architecture(
            functools.partial(resnet, bottleneck=bottleneck),
            imagenet_options(bottleneck, depths),
            "He et al. 2015, table 1",
            IMAGENET,
        )
        for depth, (bottleneck, depths) in IMAGENET_DEPTHS.items()
    },
}
