"""Conversion of PyTorch state dicts of the same architecture to Keras weights.

Supported layouts: torchvision's ResNet, ResNeXt, VGG and AlexNet, and the common CIFAR ResNets (akamaster's and
kuangliu's, where the shortcut is named `shortcut` and the last layer `linear`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from cnnrecipes.errors import ModelError

# our layer's name -> the module's, by any of the layouts
RESIDUAL = (
    (r"stem_conv", ("conv1",)),
    (r"stem_norm", ("bn1",)),
    (r"stage(\d+)_block(\d+)_conv(\d)", ("layer{0}.{1}.conv{2}",)),
    (r"stage(\d+)_block(\d+)_norm(\d)", ("layer{0}.{1}.bn{2}",)),
    (r"stage(\d+)_block(\d+)_shortcut_conv", ("layer{0}.{1}.downsample.0", "layer{0}.{1}.shortcut.0")),
    (r"stage(\d+)_block(\d+)_shortcut_norm", ("layer{0}.{1}.downsample.1", "layer{0}.{1}.shortcut.1")),
    (r"logits", ("fc", "linear")),
)
# VGG's classifier, AlexNet's, which has a dropout before each layer, and a single layer
CLASSIFIER: dict[str, tuple[str, ...]] = {
    "head_fc1": ("classifier.0", "classifier.1"),
    "head_fc2": ("classifier.3", "classifier.4"),
    "logits": ("classifier.6", "classifier"),
}
PARTS = {
    "kernel": "weight",
    "gamma": "weight",
    "bias": "bias",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
SNIPPET = "import torch, numpy; numpy.savez('weights.npz', **{k: v.numpy() for k, v in torch.load(PATH).items()})"


class Conversion(NamedTuple):
    """Result of `load_state_dict`.

    Attributes:
        matched: names of the state dict that were loaded.
        missing: weights of the model that were not loaded.
        unexpected: names of the state dict without a weight in the model.
        clashing: names whose shapes differ, with both shapes.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    clashing: tuple[str, ...]


def load_state_dict(model: keras.Model, state: str | Path | Mapping[str, Any], *, strict: bool = True) -> Conversion:
    """Load the state dict of a PyTorch model into a model of `cnnrecipes.build` of the same architecture.

    The model is unchanged if an error is raised. Our models take images 0..255: for weights
    of torchvision build them with `mean=(123.675, 116.28, 103.53)` and `std=(58.395, 57.12, 57.375)`, which are its
    (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225) times 255.

    Args:
        model: a functional model with the layer names of `cnnrecipes.build`.
        state: a .npz or .safetensors file, or a mapping of a state_dict's names to arrays or tensors. A prefix
            "module." of all names and `num_batches_tracked` are ignored.
        strict: raise an error unless all names and shapes match; otherwise load those that match.

    Returns:
        the matched, missing, unexpected and clashing names.

    Raises:
        ModelError: a file that is not a state dict, a model without a known layout, or, if `strict`, names or shapes
            that do not match.
    """
    arrays = _arrays(state)
    wanted = _wanted(model)
    found, missing, clashing = {}, [], []
    for weight, names, convert in wanted:
        name = next((name for name in names if name in arrays), None)
        if name is None:
            missing.append(f"{weight.path} ({' or '.join(names)})")
            continue
        value = convert(arrays[name], weight.shape)
        if value is None:
            clashing.append(f"{name} is {arrays[name].shape}, {weight.path} {tuple(weight.shape)}")
        found[name] = (weight, value)
    unexpected = [name for name in arrays if name not in found]
    matched = {name: pair for name, pair in found.items() if pair[1] is not None}
    conversion = Conversion(tuple(matched), tuple(missing), tuple(unexpected), tuple(clashing))
    if strict and (missing or unexpected or clashing):
        raise ModelError(_explain(model, arrays, conversion))
    for weight, value in matched.values():
        weight.assign(value)
    return conversion


def _wanted(model: keras.Model) -> list[tuple[keras.Variable, tuple[str, ...], Callable]]:
    """Return (weight, possible PyTorch names, function that transposes the array) for each weight of the model."""
    modules = _modules(model)
    wanted = []
    for layer in model.layers:
        if not layer.weights or isinstance(layer, keras.layers.Normalization):
            continue
        if layer.name not in modules:
            raise ModelError(
                f"{model.name}: no PyTorch layout is known for the layer {layer.name!r}; give a ResNet, VGG or AlexNet"
            )
        for weight in layer.weights:
            names = tuple(f"{module}.{PARTS[weight.name]}" for module in modules[layer.name])
            wanted.append((weight, names, _converter(model, layer, weight)))
    return wanted


def _modules(model: keras.Model) -> dict[str, tuple[str, ...]]:
    """Return a dict from layer name to the possible names of the PyTorch module."""
    if any(re.match(r"stage\d+_block", layer.name) for layer in model.layers):
        return dict(_residual(model))
    modules, place = dict(CLASSIFIER), 0
    for layer in model.layers:
        # Each of these is one place in torchvision's Sequential; it has no padding layers and no identities.
        silent = isinstance(layer, (keras.layers.ZeroPadding2D, keras.layers.Identity, keras.layers.Dropout))
        if layer.name.startswith("stage") and not silent:
            modules[layer.name] = (f"features.{place}",)
            place += 1
    return modules


def _residual(model: keras.Model):
    for layer in model.layers:
        for pattern, templates in RESIDUAL:
            if match := re.fullmatch(pattern, layer.name):
                stage, block, *rest = (int(group) for group in match.groups()) if match.groups() else (0, 1)
                yield layer.name, tuple(template.format(stage, block - 1, *rest) for template in templates)


def _converter(model: keras.Model, layer: keras.layers.Layer, weight: keras.Variable) -> Callable:
    """Return a function of (array, shape) to the array in Keras' axis order, or None for another shape."""

    def convert(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        if weight.name == "kernel" and array.ndim == 4:  # (out, in / groups, h, w) -> (h, w, in / groups, out)
            array = array.transpose(2, 3, 1, 0)
        elif layer.name == "head_fc1" and weight.name == "kernel" and array.ndim == 2:
            # PyTorch flattens (C, H, W), Keras (H, W, C).
            height, width, channels = model.get_layer("head_flatten").input.shape[1:]
            if array.shape[1] == height * width * channels:
                array = array.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, array.shape[0])
        elif weight.name == "kernel":
            array = array.T
        return array if array.shape == tuple(shape) else None

    return convert


def _arrays(state: str | Path | Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the float32 arrays of a state dict, or of a file of one, by name, without `num_batches_tracked`."""
    if not isinstance(state, (str, Path, Mapping)):
        raise ModelError(f"the state is a {type(state).__name__}; give a .npz or .safetensors file, or a mapping")
    named = state if isinstance(state, Mapping) else _read(Path(state))
    arrays = {}
    for name, value in named.items():
        if str(name).endswith("num_batches_tracked"):
            continue
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if array.dtype.kind not in "fiu":
            raise ModelError(
                f"the state's {name!r} is of type {array.dtype}; give a state_dict: names and arrays of numbers"
            )
        arrays[str(name)] = array.astype("float32")
    if arrays and all(name.startswith("module.") for name in arrays):
        arrays = {name.removeprefix("module."): array for name, array in arrays.items()}
    return arrays


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise ModelError(f"no file at {str(path)!r}; give weights as a .npz or .safetensors file")
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        raise ModelError(
            f"{path} is PyTorch's own format, which only PyTorch reads; convert it to .npz there: {SNIPPET}"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(path)
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except ImportError:
        raise ModelError(f"reading {path} needs the package safetensors; pip install safetensors") from None
    except Exception as error:  # zipfile, numpy and safetensors fail with different exceptions
        raise ModelError(
            f"cannot read {path} as .npz or .safetensors ({type(error).__name__}: {error}); save it again"
        ) from None


def _explain(model: keras.Model, arrays: Mapping[str, np.ndarray], conversion: Conversion) -> str:
    """Return an error message with all mismatches, the most likely cause first."""
    causes = [f"the state does not match {model.name}"]
    here, there = _blocks(layer.name for layer in model.layers), _blocks(arrays)
    if here and there and here != there:
        causes.append(f"blocks in its stages: {list(here)} here, {list(there)} in the state")
    for name, items in zip(("clashing", "missing", "unexpected"), (conversion[3], *conversion[1:3]), strict=True):
        if items:
            more = f" and {len(items) - 3} more" if len(items) > 3 else ""
            causes.append(f"{len(items)} {name}: {'; '.join(items[:3])}{more}")
    return ". ".join(causes) + ". Build the model with the state's options, or give strict=False to load what matches"


def _blocks(names) -> tuple[int, ...]:
    """Return the number of blocks (in a plain sequence, of convolutions) in each stage."""
    matches = (re.match(r"(?:stage|layer)(\d+)[._](?:block)?(\d+)[._]", name) for name in names)
    stage_of = {match[0]: int(match[1]) for match in matches if match}
    stages = Counter(stage_of.values())
    return tuple(stages[stage] for stage in sorted(stages))
