"""Backbones of `keras.applications`, rebuilt with layers named by stage, preprocessing in front, and fused norms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from cnnrecipes.errors import ModelError, RegistrationError
from cnnrecipes.layers.keras_exchange import OURS
from cnnrecipes.models.pretrained.preprocessing import find_contract
from cnnrecipes.models.pretrained.replay import replay
from cnnrecipes.models.without_values import without_values
from cnnrecipes.recipe import schema


@dataclass(frozen=True, kw_only=True)
class Application:
    """One backbone of `keras.applications`.

    Attributes:
        constructor: name of the function in `keras.applications`, for example "MobileNetV2".
        preprocessing: the preprocessing contract, a key of `preprocessing.CONTRACTS`.
        ends: names of the last layers of the stem and of all stages but the last, in order; layers with automatic
            names are counted from 1 for each class, for example "add1".
        least: least height and width of the images, in pixels.
        top1: published accuracy on ImageNet's validation images in percent; None: none published.
        alphas: width multipliers that ImageNet weights are published for; (): the family has no multiplier.
        left_out: names of Keras' own preprocessing layers, which `preprocessing` replaces.
        one_tensor: True if a stage passes nothing but its output on to later stages; False for NASNet, whose cells
            also use the output of the cell before.
    """

    constructor: str
    preprocessing: str
    ends: tuple[str, ...]
    least: int = 32
    top1: float | None = None
    alphas: tuple[float, ...] = ()
    left_out: tuple[str, ...] = ()
    one_tensor: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> Any:
        """The module of `keras.applications` with the family's `preprocess_input`."""
        name = getattr(keras.applications, self.constructor).__module__.rpartition(".")[2]
        return getattr(keras.applications, name)

    def stock(
        self, spec: schema.Model, input_shape: tuple[int, int, int], weights: str | None = None, top: bool = False
    ) -> keras.Model:
        """Return the backbone as `keras.applications` builds it, without preprocessing outside of it.

        Args:
            input_shape: (H, W, C).
            weights: None: drawn; "imagenet": downloaded by Keras.
            top: with Keras' own head.
        """
        options = dict(self.options)
        if spec.alpha is not None:
            options["alpha"] = spec.alpha
        build = getattr(keras.applications, self.constructor)
        return build(include_top=top, weights=weights, input_shape=input_shape, **options)

    def features(self, images, spec: schema.Model, factories: Any):
        """Apply preprocessing and the backbone to images (N, H, W, C), 0..255; return the last feature map.

        Layers are renamed "stem_...", "stage1_..." and so on, and batch norms are replaced by the fused ones. Images of
        one channel are features of the same images as RGB: see `preprocessing`.

        Raises:
            ModelError: images below the family's least size, or neither gray nor RGB.
        """
        self._check_images(spec.name, tuple(images.shape[1:]))
        contract = find_contract(self.preprocessing)
        x = contract.apply(images)
        with without_values():  # only its layers are copied
            stock = self.stock(spec, tuple(x.shape[1:]))
        names = self._names(stock)

        def copy(layer: keras.Operation, outer: keras.Operation) -> Callable[..., Any] | None:
            if names[id(outer)][1] in self.left_out:
                return None
            stage, name = names[id(outer)]
            return _copy(layer, f"{stage}_{name if layer is outer else layer.name}")

        return replay(stock, x, copy)

    def pairs(self, stock: keras.Model) -> Iterator[tuple[keras.layers.Layer, str]]:
        """Yield each layer with weights of `stock`, a model of `keras.applications`, and its new name in `features`."""
        for outer, (stage, name) in zip(stock.operations, self._names(stock).values(), strict=True):
            if name in self.left_out:
                continue
            for layer in outer.layers if isinstance(outer, keras.Model) else [outer]:
                if getattr(layer, "weights", ()):
                    yield layer, f"{stage}_{name if layer is outer else layer.name}"

    def _check_images(self, name: str, shape: tuple[int, int, int]) -> None:
        height, width, channels = shape
        if channels not in (1, 3):
            raise ModelError(
                f"{name} takes images of 3 channels (RGB) or 1 (gray), not of {channels}; set data.channels = 3 or 1"
            )
        if min(height, width) < self.least:
            raise ModelError(
                f"{name} takes images of at least {self.least}x{self.least} pixels, not of {height}x{width}; give "
                f"larger images, for example data.image_size = {self.least}"
            )

    def _names(self, stock: keras.Model) -> dict[int, tuple[str, str]]:
        """Return, by the id of each operation of `stock.operations`, its stage and its stable name."""
        names, stage, ends = {}, 0, list(self.ends)
        for operation, name in zip(stock.operations, _stable_names(stock.operations), strict=True):
            names[id(operation)] = (f"stage{stage}" if stage else "stem", name)
            if ends and name == ends[0]:
                del ends[0]
                stage += 1
        if ends:
            raise RegistrationError(
                f"keras.applications.{self.constructor} of Keras {keras.__version__} has no layer {ends[0]!r}, which "
                "is to end a stage; correct the ends of its row in models/pretrained/keras_applications_rows.py"
            )
        return names


def _copy(operation: keras.Operation, name: str) -> Callable[..., Any]:
    """Return a new operation of another name: fused norms for norms, layers for sums, float32 for preprocessing."""
    config = {**operation.get_config(), "name": name}
    if type(operation).__name__ == "Add" and not isinstance(operation, keras.layers.Layer):
        return _sum(operation, config)
    if isinstance(operation, (keras.layers.Rescaling, keras.layers.Normalization)):
        config["dtype"] = "float32"
    return OURS.get(type(operation), type(operation)).from_config(config)


def _sum(operation: keras.Operation, config: dict[str, Any]) -> Callable[..., Any]:
    """Return a function that adds two feature maps by a layer, so that a stage can end there; numbers by the op."""

    def add(x, y):
        if keras.utils.is_keras_tensor(y) and x.shape == y.shape:
            return keras.layers.Add(name=config["name"])([x, y])
        return type(operation).from_config(config)(x, y)

    return add


def _stable_names(operations: list[keras.Operation]) -> list[str]:
    """Return the operations' names; automatic ones, whose numbers depend on earlier models, are counted from 1."""
    counts: Counter[str] = Counter()
    names = []
    for operation in operations:
        words = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(operation).__name__))
        words = words.replace("2D", "2d").lower()
        if re.fullmatch(rf"{words}(_\d+)?", operation.name):
            counts[words] += 1
            names.append(f"{words}{counts[words]}")
        else:
            names.append(operation.name)
    return names
