"""Checks of global Keras settings (backend, image data format), and a float32 context for building models.

Keras is imported lazily, so that `import cnnrecipes` and `cnnrecipes list` need no backend.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from cnnrecipes.errors import KerasSettingError


def check_backend() -> None:
    """Raise KerasSettingError if the Keras backend, current or configured, is not TensorFlow."""
    if (backend := _backend()) != "tensorflow":
        raise KerasSettingError(
            f"Keras' backend is {backend!r}, and cnnrecipes trains with TensorFlow; set the environment variable "
            "KERAS_BACKEND to tensorflow before Keras is imported"
        )


def check() -> None:
    """Raise KerasSettingError if the Keras backend or image data format is not supported."""
    check_backend()
    import keras

    if (found := keras.config.image_data_format()) != "channels_last":
        raise KerasSettingError(
            f"Keras' image data format is {found!r}, and the images of cnnrecipes are (N, H, W, C); "
            "call keras.config.set_image_data_format('channels_last') first"
        )


@contextlib.contextmanager
def float32() -> Iterator[None]:
    """Set dtype policy and floatx to float32 in the block; restore the user's settings on exit."""
    import keras

    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def _backend() -> str:
    """Return the current Keras backend, or the one that importing Keras will select (keras/src/backend/config.py)."""
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend()
    if "KERAS_BACKEND" in os.environ:
        return os.environ["KERAS_BACKEND"] or "tensorflow"
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return json.loads((folder / "keras.json").read_text(encoding="utf-8")).get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
