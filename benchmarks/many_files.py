"""A folder of many photos: how long the first batch takes, and how much memory `fit` takes with their number.

    python benchmarks/many_files.py --files 1000 50000

Photos of 64 x 64 are made in a temporary folder. Each number of files runs in processes of its own: the time from
opening the folder to the first training batch, without the imports; then the peak resident memory of a `fit` of one
epoch on it, statistics and check of all files included. Printed are both, and the bytes that each further file took.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from pathlib import Path

import side_by_side
from norms import peak_mebibytes

FOLDER = "CNNRECIPES_BENCHMARK_FILES"
CLASSES = 10
CHANGES = {
    "model.name": "resnet8",
    "data.image_size": 16,
    "data.batch_size": 128,
    "augment.ops": ["flip_lr"],
    "train.epochs": 1,
    "optimizer.warmup": "0 epochs",
}


def make(root: Path, count: int) -> None:
    """So many small photos, no two alike, in class folders."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    contents = []
    for _ in range(200):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((64, 64)).save(buffer, "JPEG")
        contents.append(buffer.getvalue())
    for i in range(count):
        folder = root / f"class_{i % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        # What follows the end of a JPEG is passed over.
        (folder / f"image_{i:06}.jpg").write_bytes(contents[i % len(contents)] + str(i).encode())


def first_batch() -> float:
    """Seconds from opening the folder to the first training batch."""
    from cnnrecipes.data import batching
    from cnnrecipes.data.sources.opening import open_source
    from cnnrecipes.data.standardize import Statistics
    from cnnrecipes.recipe import catalog

    recipe = catalog.load("photos_from_scratch").change(**CHANGES)
    open_source("digits", recipe.data)  # what is imported only when it is used
    start = time.perf_counter()
    source = open_source(os.environ[FOLDER], recipe.data)
    mean = Statistics((120.0,) * 3, (60.0,) * 3)
    batches = batching.training_batches(source.split("train"), recipe, mean, CLASSES, last_step=1)
    next(batches.as_numpy_iterator())
    return time.perf_counter() - start


def peak_of_fit() -> float:
    """Peak resident memory of this process after a `fit`, in MiB."""
    import cnnrecipes as cr

    with tempfile.TemporaryDirectory() as workdir:
        cr.fit("photos_from_scratch", data=os.environ[FOLDER], workdir=workdir, progress=False, **CHANGES)
    return peak_mebibytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs=2, default=(1000, 50_000))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        side_by_side.import_for("cnnrecipes")
        print(json.dumps(first_batch() if options.case == "first batch" else peak_of_fit()))
        return
    print(side_by_side.machine(1) + "\n\n| files | first batch, s | peak memory of fit, MiB |\n|---|---|---|")
    peaks = []
    with tempfile.TemporaryDirectory() as root:
        os.environ["CNNRECIPES_CACHE"] = f"{root}/cache"
        for count in options.files:
            os.environ[FOLDER] = f"{root}/{count}"
            make(Path(root, str(count)), count)
            seconds, peak = (
                side_by_side.run(__file__, "cnnrecipes", case, None) for case in ("first batch", "peak of fit")
            )
            peaks.append(peak)
            print(f"| {count:,} | {seconds:.1f} | {peak:,.0f} |", flush=True)
    few, many = options.files
    print(f"\n{(peaks[1] - peaks[0]) * 2**20 / (many - few):,.0f} bytes for each further file")


if __name__ == "__main__":
    main()
