"""Checks before training, so that it does not fail late: devices, free disk space, determinism."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf

from cnnrecipes import models
from cnnrecipes._support import cache_pruning, keras_settings
from cnnrecipes.errors import DiskFull
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.training import loggers
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.training_step import TrainModel

_NVIDIA = Path("/proc/driver/nvidia/version")
_CPU_INFO = Path("/proc/cpuinfo")
# With one of these TensorFlow uses oneDNN by itself (tensorflow/core/util/util.cc, DefaultOneDnnPolicy).
_ONEDNN_FEATURES = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}


def check(recipe: Recipe) -> None:
    """Check settings, model name and loggers before data is opened; enable determinism if the recipe sets it.

    Raises:
        CNNRecipesError: settings of Keras that are not supported, a CNNRECIPES_CACHE_LIMIT that is not a size, an
            unknown model, a logger that is not installed.
    """
    keras_settings.check()
    cache_pruning.chosen_limit()
    models.find(recipe.model.name)
    loggers.check(recipe.logging)
    if recipe.train.deterministic:
        make_deterministic()


def note_devices(devices: Devices, say: Callable[[str], None]) -> None:
    """Report a GPU that will not be used, and disabled oneDNN kernels, through `say`."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and _NVIDIA.exists():
        say("there is a GPU that TensorFlow cannot use; `pip install 'cnnrecipes[gpu]'` installs its libraries")
    elif not gpus and platform.system() == "Darwin" and platform.machine() == "arm64":
        say("this Mac's GPU is not used: TensorFlow has no kernels for it without tensorflow-metal")
    elif len(gpus) > 1 and devices.count == 1:
        say(f"one of {len(gpus)} GPUs is used; devices.strategy=mirrored uses all")
    if not gpus and leaves_onednn_off():
        say(
            "TensorFlow was imported before cnnrecipes and left its oneDNN kernels off, so that a step takes 2 to 3 "
            "times as long on this processor; import cnnrecipes first, or set TF_ENABLE_ONEDNN_OPTS=1"
        )


def leaves_onednn_off() -> bool:
    """Return True if TensorFlow runs without its oneDNN kernels on a processor where they are faster.

    It does if it was imported before cnnrecipes, which sets the environment variable that enables them.
    """
    if platform.system() != "Linux" or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if "TF_ENABLE_ONEDNN_OPTS" in os.environ or not _CPU_INFO.exists():
        return False
    flags = next((line for line in _CPU_INFO.read_text().splitlines() if line.startswith("flags")), "")
    return bool(flags) and not _ONEDNN_FEATURES & set(flags.split())


def make_deterministic() -> None:
    """Enable deterministic ops in TensorFlow (`train.deterministic`); ops without a deterministic kernel raise.

    TensorFlow has no public way to disable determinism: later trainings in this process are deterministic too.
    """
    tf.config.experimental.enable_op_determinism()


def check_disk(folder: str | Path, model: TrainModel) -> None:
    """Raise DiskFull if the disk is too full for two checkpoints, a temporary one, best weights and artifact."""
    state = sum(
        variable.value.dtype.size * _size(variable)
        for group in model.checkpoint_variables().values()
        for variable in group
    )
    weights = sum(4 * _size(variable) for variable in model.inner.variables)
    needed = 3 * state + 3 * weights + 2**20
    there = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise DiskFull(
            f"the disk of {str(folder)!r} has {free / 2**20:,.0f} MiB left, and this training's checkpoints and model "
            f"need up to {needed / 2**20:,.0f}; free space, or give another folder with workdir="
        )


@contextlib.contextmanager
def naming_full_disk(folder: Path) -> Iterator[None]:
    """Convert disk-full errors into DiskFull with the command to resume; the files of the run stay valid."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if not is_disk_full(error):
            raise
        raise DiskFull(
            f"the disk of {str(folder)!r} is full; free space, then `cnnrecipes resume {folder}` continues from the "
            "last checkpoint"
        ) from None


def is_disk_full(error: Exception) -> bool:
    """Return True for disk-full errors (ENOSPC); TensorFlow uses the same class for out of memory."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return isinstance(error, tf.errors.ResourceExhaustedError) and "No space left" in str(error)


def _size(variable) -> int:
    return int(tf.TensorShape(variable.shape).num_elements())
