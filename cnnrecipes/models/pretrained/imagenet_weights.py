"""ImageNet weights of `keras.applications`, downloaded, checked and cached by Keras."""

from __future__ import annotations

import contextlib
import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from cnnrecipes._support.connectivity_check import why_unreachable
from cnnrecipes._support.locks import locked
from cnnrecipes.errors import ModelError, one_line
from cnnrecipes.models.pretrained.application import Application
from cnnrecipes.recipe import schema

_SECONDS = 10.0  # for the server to answer before the download


def load_imagenet(application: Application, spec: schema.Model, input_shape: tuple[int, int, int]) -> keras.Model:
    """Return Keras' backbone with ImageNet weights, without its head.

    Keras downloads the file, shows progress, compares its checksum, and keeps it in the folder models of KERAS_HOME
    (default: ~/.keras).

    Raises:
        ModelError: the file is neither cached nor can be downloaded, or no weights are published for this alpha.
    """
    check_alpha(application, spec)
    wanted: dict[str, str] = {}
    with _noting_download(wanted), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Weights for input shape.*")  # the model is fully convolutional
        warnings.filterwarnings("ignore", ".*is undefined or non-square.*")
        try:
            return application.stock(spec, input_shape, weights="imagenet")
        except Exception as error:
            if not wanted:
                raise ModelError(f"{spec.name}: Keras cannot load ImageNet weights: {one_line(error)}") from error
            raise ModelError(_remedy(spec.name, wanted, one_line(error))) from error


def check_alpha(application: Application, spec: schema.Model) -> None:
    """Raise ModelError if no ImageNet weights are published for the width multiplier."""
    if application.alphas and spec.alpha not in application.alphas:
        offered = ", ".join(map(str, application.alphas))
        raise ModelError(
            f"{spec.name} has no ImageNet weights for model.alpha = {spec.alpha}; choose one of {offered}, or "
            "model.weights = a file"
        )


def _remedy(name: str, wanted: dict[str, str], why: str) -> str:
    file, folder = wanted["fname"], keras_home() / "models"
    return (
        f"cannot get the ImageNet weights of {name}: {why[:300]}. Keras wants {file} from {wanted['origin']}. Without "
        f"network: (1) copy this file, or another file of its weights, to this machine and set model.weights=PATH; or "
        f"(2) put {file} into {str(folder)!r} (models in the folder of the environment variable KERAS_HOME)"
    )


def keras_home() -> Path:
    """Return the folder of Keras' cache."""
    return Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser())


@contextlib.contextmanager
def _noting_download(wanted: dict[str, str]) -> Iterator[None]:
    """Note name and URL of the file that Keras wants, and refuse to wait for a server that does not answer.

    One process at a time downloads it; others that want it wait.
    """
    module: Any = importlib.import_module(keras.utils.get_file.__module__)
    get_file: Callable[..., str] = module.get_file

    def noting(fname: str, origin: str, **options: Any) -> str:
        wanted.update(fname=fname, origin=origin)
        cached = keras_home() / options.get("cache_subdir", "datasets") / fname
        with contextlib.suppress(OSError):
            cached.parent.mkdir(parents=True, exist_ok=True)
        # Keras writes to the place itself: another process would take the half of it for damaged, and overwrite it.
        with locked(cached.with_name(f".{fname}.lock"), seconds=-1):
            if not cached.is_file() and (why := why_unreachable([origin], _SECONDS)):
                raise ModelError(f"no connection ({why})")
            return get_file(fname, origin, **options)

    module.get_file = noting
    try:
        yield
    finally:
        module.get_file = get_file
