"""Features of photos against bare `model.predict` on images that are decoded before: what decoding and caching cost.

    python benchmarks/features.py --data hymenoptera_data/train --weights mobilenet_v2_0.35_224_imagenet_no_top.h5

Rounds alternate between features, predict, and decoding alone in one process, after one round that is not measured. The
ratio is that of the medians: 1 means that features are computed as fast as by the model alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time

import numpy as np
import side_by_side

import cnnrecipes as cr
from cnnrecipes.data import batching
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.recipe import catalog
from cnnrecipes.transfer import feature_cache
from cnnrecipes.transfer.split_model import SplitModel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="folder of photos, one sub-folder per class")
    parser.add_argument("--weights", default="none", help="weight file of the backbone; none: drawn weights")
    parser.add_argument("--model", default="mobilenet_v2")
    parser.add_argument("--alpha", type=float, default=0.35)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    changes = {"model.name": options.model, "model.alpha": options.alpha, "data.image_size": options.size}
    recipe = catalog.load("features_photos").change(**changes, **{"model.weights": options.weights})
    with InputPipeline.open(recipe, options.data) as pipeline:
        frozen = SplitModel.before_head(cr.build(recipe.model, **pipeline.for_model)).frozen
        forward = feature_cache.Forward(frozen)
        found = {"features": [], "predict": [], "decode": []}
        batches = batching.arrays(pipeline.train, recipe.data, len(pipeline.class_names))
        preloaded = [images for images, *_ in batches]
        for number in range(options.rounds + 1):
            seconds = (features(forward, pipeline), predict(frozen, preloaded), decode(pipeline))
            for name, each in zip(found, seconds, strict=True):
                found[name] += [each] if number else []
    images, medians = len(pipeline.train), {name: statistics.median(seconds) for name, seconds in found.items()}
    print(side_by_side.machine(options.rounds))
    print(
        f"{options.model}, alpha {options.alpha}, {images} photos at {options.size}x{options.size}, median [min, max]\n"
    )
    print("| | s | images/s |\n|---|---|---|")
    for name, seconds in found.items():
        spread = f"{medians[name]:.2f} [{min(seconds):.2f}, {max(seconds):.2f}]"
        print(f"| {name} | {spread} | {images / medians[name]:.0f} |")
    print(f"\nfeatures take {medians['features'] / medians['predict']:.2f} of the time of predict")


def features(forward, pipeline: InputPipeline) -> float:
    """Seconds to decode the photos, compute their features and write them to an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNNRECIPES_CACHE"] = folder
        started = time.perf_counter()
        feature_cache.features(forward, pipeline, "train")
        return time.perf_counter() - started


def predict(frozen, preloaded) -> float:
    """Seconds of `model.predict` on decoded images, in the same batches."""
    images = np.concatenate(preloaded)
    started = time.perf_counter()
    frozen.predict(images, batch_size=batching.EVALUATION_BATCH, verbose=0)
    return time.perf_counter() - started


def decode(pipeline: InputPipeline) -> float:
    """Seconds to decode and resize the photos."""
    started = time.perf_counter()
    for _ in batching.arrays(pipeline.train, pipeline.recipe.data, len(pipeline.class_names)):
        pass
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
