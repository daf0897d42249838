"""Residual shortcuts (He et al. 2015, section 3.3 and table 3): options A, B, C, or none.

Each takes (N, H, W, C) and returns (N, ceil(H / stride), ceil(W / stride), width). With `norm=None` a projection is a
convolution alone, as in pre-activation blocks.

Each declares whether all of its output channels depend on its input (`carries_every_channel`). A channel that does not,
added to a zero-initialized branch, is 0 before the ReLU, where the gradient is 0: it would stay dead.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from cnnrecipes.errors import ModelError


def carries_every_channel(shortcut: Callable, channels: int, width: int) -> bool:
    """Return True if every output channel of a shortcut depends on the input; False if this is not declared.

    A user-defined shortcut declares it by an attribute `carries`, a function of `channels` and `width`.
    """
    carries = getattr(shortcut, "carries", None)
    return carries is not None and carries(channels, width)


def initial_factor(shortcut: Callable, channels: int, width: int) -> str:
    """Return the initializer of a branch's last gamma or scale: "zeros", but "ones" if a shortcut channel may be all 0.

    Shortcut A fills new channels with zeros; see `carries_every_channel`.
    """
    return "zeros" if carries_every_channel(shortcut, channels, width) else "ones"


def _carries(when: Callable[[int, int], bool]) -> Callable[[Callable], Callable]:
    """Return a decorator that declares for a shortcut when `carries_every_channel` is true."""

    def attach(shortcut: Callable) -> Callable:
        shortcut.carries = when  # type: ignore[attr-defined]  # functions take attributes
        return shortcut

    return attach


def _always(channels: int, width: int) -> bool:
    return True


def _never(channels: int, width: int) -> bool:
    return False


@_carries(lambda channels, width: channels == width)
def pad_shortcut(x, width, *, stride, conv, norm, name):
    """Option A: every stride-th pixel, zeros in the new channels; no parameters. Fewer channels are a ModelError."""
    if stride > 1:
        x = keras.layers.MaxPooling2D(1, strides=stride, name=f"{name}_subsample")(x)
    if x.shape[-1] == width:
        return x
    if x.shape[-1] > width:
        raise ModelError(f"{name}: shortcut A adds channels and cannot make {x.shape[-1]} into {width}; take B or C")
    before = (width - x.shape[-1]) // 2
    after = width - x.shape[-1] - before
    # With "channels_first" the padded axes are W and C: a layer of Keras pads channels, and the file loads without us.
    padding = ((0, 0), (before, after))
    return keras.layers.ZeroPadding2D(padding, data_format="channels_first", name=f"{name}_channels")(x)


@_carries(_always)
def projection_shortcut(x, width, *, stride, conv, norm, name):
    """Option B: a 1x1 convolution and normalization where the shape changes, the input itself elsewhere."""
    if stride == 1 and x.shape[-1] == width:
        return x
    return full_projection_shortcut(x, width, stride=stride, conv=conv, norm=norm, name=name)


@_carries(_always)
def full_projection_shortcut(x, width, *, stride, conv, norm, name):
    """Option C: a 1x1 convolution and normalization in every block."""
    x = conv(x, width, 1, stride=stride, name=f"{name}_conv")
    return x if norm is None else norm(name=f"{name}_norm")(x)


def averaging_shortcut(project):
    """Return a shortcut function: average pooling with the stride, then `project` without a stride.

    A 1x1 convolution with a stride would skip pixels (He et al. 2018, fig. 2c).
    """

    @_carries(lambda channels, width: carries_every_channel(project, channels, width))
    def shortcut(x, width, *, stride, conv, norm, name):
        if stride > 1:
            # "same" averages only the existing pixels at an odd border.
            x = keras.layers.AveragePooling2D(stride, padding="same", name=f"{name}_average")(x)
        return project(x, width, stride=1, conv=conv, norm=norm, name=name)

    return shortcut


@_carries(_never)
def no_shortcut(x, width, *, stride, conv, norm, name):
    """Return None: no shortcut, for plain networks."""
    return None


SHORTCUTS = {
    "A": pad_shortcut,
    "B": projection_shortcut,
    "C": full_projection_shortcut,
    "none": no_shortcut,
}
