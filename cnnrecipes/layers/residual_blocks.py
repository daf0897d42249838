"""Residual and VGG blocks; each receives its convolution, normalization and activation as factories.

`conv(x, width, kernel, stride=, name=)` returns activations; `norm(name=)` and `activation(name=)` return layers.
Activations are (N, H, W, C) -> (N, H / stride, W / stride, width). A residual block takes besides:

- `shortcut(x, width, stride=, conv=, norm=, name=)`: what its branch is added to; `layers/shortcuts.py` has them;
- `last_gamma`: what the last norm's gamma starts with, "zeros" or "ones"; None: zeros, so that the block starts as its
  shortcut (Goyal et al. 2017, section 5.1), unless the shortcut leaves a channel empty (`carries_every_channel`);
- `between(y, name=)`: what stands between its convolutions, as dropout; `end(y, name=)`: what closes its branch, as
  squeeze-excite and stochastic depth. Both return activations of the same shape.
"""

from __future__ import annotations

import keras

from cnnrecipes.layers.shortcuts import carries_every_channel


def nothing(x, *, name):
    """Return x unchanged, without adding a layer."""
    return x


def conv_norm_act(x, width, kernel=3, *, conv, norm, activation, stride=1, name):
    """Convolution, normalization, activation."""
    x = conv(x, width, kernel, stride=stride, name=f"{name}_conv")
    return activation(name=f"{name}_act")(norm(name=f"{name}_norm")(x))


def dense_act(x, width, *, activation, init, dropout=0.0, name):
    """A fully connected layer, its activation, and dropout: (N, C) -> (N, width)."""
    x = keras.layers.Dense(width, kernel_initializer=init(), name=name)(x)
    x = activation(name=f"{name}_act")(x)
    return keras.layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


def basic_block(
    x, width, *, conv, norm, activation, shortcut, stride=1, last_gamma=None, between=nothing, end=nothing, name
):
    """Two 3x3 convolutions beside a shortcut (He et al. 2015, fig. 2)."""
    last_gamma = last_gamma or _last_gamma(x, width, shortcut)
    y = conv(x, width, 3, stride=stride, name=f"{name}_conv1")
    y = activation(name=f"{name}_act1")(norm(name=f"{name}_norm1")(y))
    y = between(y, name=name)
    y = conv(y, width, 3, stride=1, name=f"{name}_conv2")
    y = norm(gamma_initializer=last_gamma, name=f"{name}_norm2")(y)
    y = _add(end(y, name=name), shortcut(x, width, stride=stride, conv=conv, norm=norm, name=f"{name}_shortcut"), name)
    return activation(name=f"{name}_out")(y)


def bottleneck_block(
    x,
    width,
    *,
    conv,
    norm,
    activation,
    shortcut,
    inner=None,
    groups=1,
    stride=1,
    first_strides=False,
    last_gamma=None,
    between=nothing,
    end=nothing,
    name,
):
    """1x1, 3x3 and 1x1 convolutions to `width` channels, `inner` of them inside (He et al. 2015, fig. 5).

    Args:
        inner: channels of the first two convolutions; None: width // 4.
        groups: of the 3x3 (Xie et al. 2016, fig. 3c).
        first_strides: the first 1x1 strides, as in the paper ("v1"); else the 3x3, as torchvision has it ("v1.5").
    """
    inner = inner or width // 4
    last_gamma = last_gamma or _last_gamma(x, width, shortcut)
    first, second = (stride, 1) if first_strides else (1, stride)
    y = conv(x, inner, 1, stride=first, name=f"{name}_conv1")
    y = activation(name=f"{name}_act1")(norm(name=f"{name}_norm1")(y))
    y = conv(y, inner, 3, stride=second, groups=groups, name=f"{name}_conv2")
    y = activation(name=f"{name}_act2")(norm(name=f"{name}_norm2")(y))
    y = between(y, name=name)
    y = conv(y, width, 1, stride=1, name=f"{name}_conv3")
    y = norm(gamma_initializer=last_gamma, name=f"{name}_norm3")(y)
    y = _add(end(y, name=name), shortcut(x, width, stride=stride, conv=conv, norm=norm, name=f"{name}_shortcut"), name)
    return activation(name=f"{name}_out")(y)


def preactivation_basic_block(
    x, width, *, conv, norm, activation, shortcut, stride=1, between=nothing, end=nothing, name
):
    """Normalization and activation before each of two 3x3 convolutions (He et al. 2016, fig. 1b and eq. 5).

    A shortcut that changes the shape branches off after the first activation.
    """
    y = activation(name=f"{name}_act1")(norm(name=f"{name}_norm1")(x))
    beside = y if stride != 1 or x.shape[-1] != width else x
    beside = shortcut(beside, width, stride=stride, conv=conv, norm=None, name=f"{name}_shortcut")
    y = conv(y, width, 3, stride=stride, name=f"{name}_conv1")
    y = activation(name=f"{name}_act2")(norm(name=f"{name}_norm2")(y))
    y = between(y, name=name)
    y = conv(y, width, 3, stride=1, name=f"{name}_conv2")
    return _add(end(y, name=name), beside, name)


def preactivation_bottleneck_block(
    x,
    width,
    *,
    conv,
    norm,
    activation,
    shortcut,
    inner=None,
    groups=1,
    stride=1,
    between=nothing,
    end=nothing,
    name,
):
    """Normalization and activation before a 1x1, a striding 3x3 and a 1x1 convolution (He et al. 2016, appendix)."""
    inner = inner or width // 4
    y = activation(name=f"{name}_act1")(norm(name=f"{name}_norm1")(x))
    beside = y if stride != 1 or x.shape[-1] != width else x
    beside = shortcut(beside, width, stride=stride, conv=conv, norm=None, name=f"{name}_shortcut")
    y = conv(y, inner, 1, stride=1, name=f"{name}_conv1")
    y = activation(name=f"{name}_act2")(norm(name=f"{name}_norm2")(y))
    y = conv(y, inner, 3, stride=stride, groups=groups, name=f"{name}_conv2")
    y = activation(name=f"{name}_act3")(norm(name=f"{name}_norm3")(y))
    y = between(y, name=name)
    y = conv(y, width, 1, stride=1, name=f"{name}_conv3")
    return _add(end(y, name=name), beside, name)


def squeeze_excite(x, reduction: int, *, conv, activation, name):
    """Apply a squeeze-and-excitation block (Hu et al. 2017, fig. 3).

    Args:
        reduction: reduction ratio; the bottleneck has C // reduction units, at least 1.
    """
    channels = x.shape[-1]
    w = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    w = conv(w, max(1, channels // reduction), 1, use_bias=True, name=f"{name}_reduce")
    w = conv(activation(name=f"{name}_act")(w), channels, 1, use_bias=True, name=f"{name}_expand")
    w = keras.layers.Activation("sigmoid", name=f"{name}_gate")(w)
    return keras.layers.Multiply(name=f"{name}_excite")([x, w])


def vgg_stage(x, width, depth, *, conv, norm, activation, pool, name):
    """`depth` 3x3 convolutions and a 2x2 pooling (Simonyan & Zisserman 2014, table 1).

    (N, H, W, C) -> (N, H // 2, W // 2, width)
    """
    for i in range(1, depth + 1):
        x = conv_norm_act(x, width, conv=conv, norm=norm, activation=activation, name=f"{name}_{i}")
    return pool(x, 2, stride=2, name=f"{name}_pool")


def _last_gamma(x, width, shortcut) -> str:
    return "zeros" if carries_every_channel(shortcut, x.shape[-1], width) else "ones"


def _add(branch, beside, name):
    return branch if beside is None else keras.layers.Add(name=f"{name}_add")([beside, branch])
