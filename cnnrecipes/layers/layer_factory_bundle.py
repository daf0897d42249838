"""The layer factories that a block receives, bundled in one value."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cnnrecipes.layers.activation import ActivationFactory, activation
from cnnrecipes.layers.conv import conv2d
from cnnrecipes.layers.initializers import InitializerFactory, initializer
from cnnrecipes.layers.norm import NormFactory, norm
from cnnrecipes.layers.pool import PoolFactory, max_pool


@dataclass(frozen=True)
class LayerFactories:
    """Factories of convolution, normalization, activation and pooling, and the initializer of dense layers.

    The defaults are a convolution without bias, batch normalization, ReLU, max pooling and He initialization.

    Attributes:
        conv: `conv(x, width, kernel, stride=, groups=, use_bias=, name=)` returns activations (N, H, W, width).
        norm: `norm(name=)` returns a layer; for a block's last norm it is called with `gamma_initializer=` too.
        activation: `activation(name=)` returns a layer.
        pool: `pool(x, window, stride=, padding=, name=)` returns activations.
        init: `init()` returns an initializer.
    """

    conv: Callable[..., Any] = conv2d
    norm: NormFactory = field(default_factory=lambda: norm("batch"))
    activation: ActivationFactory = field(default_factory=lambda: activation("relu"))
    pool: PoolFactory = max_pool
    init: InitializerFactory = field(default_factory=lambda: initializer("he_normal"))

    def with_conv(self, **arguments: Any) -> LayerFactories:
        """Return a copy whose convolution has other default arguments, for example `use_bias=True`."""
        return dataclasses.replace(self, conv=functools.partial(self.conv, **arguments))

    def norm_act(self, x, *, norm: str, act: str):
        """Apply a normalization layer, then an activation layer; `norm` and `act` are the names of these layers."""
        return self.activation(name=act)(self.norm(name=norm)(x))
