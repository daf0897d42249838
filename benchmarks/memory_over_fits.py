"""Memory over many trainings in one process: resident memory, and how many source arrays are still alive.

A search trains a hundred times in one process; what each training leaves behind adds up.

    python benchmarks/memory_over_fits.py                 # arrays; 50 fits
    python benchmarks/memory_over_fits.py --cache memory  # image files, decoded once and kept
    python benchmarks/memory_over_fits.py --cache disk
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import weakref
from pathlib import Path

import numpy as np
import psutil

import cnnrecipes as cr

SHOWN = (1, 5, 10, 25, 50, 100)
TABLES = {
    "data": {"name": "arrays", "batch_size": 64, "validation": 0.1, "image_size": 32},
    "model": {"name": "resnet8", "depths": [1], "widths": [16]},
    "optimizer": {"learning_rate": 0.01},
    "train": {"epochs": 1},
}


def arrays(mebibytes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise (N, 32, 32, 3) of this size, and its labels (N,), of 4 classes."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (mebibytes * 2**20 // 3072, 32, 32, 3), np.uint8)
    return images, np.arange(len(images)) % 4


def write_files(folder: Path, count: int) -> Path:
    """PNG files of noise, 128 x 128, in 4 folders of classes."""
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"class_{number % 4}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (128, 128, 3), np.uint8)).save(path)
    return folder


def main(options: argparse.Namespace) -> None:
    alive: list[weakref.ref] = []
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as workdir:
        folder = None
        if options.cache != "none":
            folder = Path(workdir) / "images"
            folder.mkdir()
            write_files(folder, 400)
        print(f"{'fit':>4} {'RSS MiB':>8} {'arrays alive':>13} {'descriptors':>12} {'Python objects':>15}")
        for number in range(1, options.fits + 1):
            data = folder
            changes = {"data.cache": options.cache}
            if folder is None:
                images, labels = arrays(options.mebibytes, number)
                alive.append(weakref.ref(images))
                data = (images, labels)
            else:
                # With random crops whole photos are kept: 19 MiB.
                changes |= {"augment.ops": ["random_resized_crop"]}
            recipe = cr.Recipe.from_dict(TABLES, "memory_over_fits")
            cr.fit(recipe, data=data, workdir=Path(workdir) / "runs", progress=False, **changes)
            images = data = None
            if number in SHOWN or number == options.fits:
                gc.collect()
                living = sum(reference() is not None for reference in alive)
                size = process.memory_info().rss / 2**20
                objects = len(gc.get_objects())
                print(f"{number:4} {size:8.0f} {living:13} {process.num_fds():12} {objects:15,}", flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=50)
    parser.add_argument("--mebibytes", type=int, default=20, help="size of the array of each fit")
    parser.add_argument("--cache", choices=("none", "memory", "disk"), default="none", help="other than none: of files")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(parse(sys.argv[1:]))
