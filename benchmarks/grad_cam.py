"""Grad-CAM of 64 images in one batch beside a forward and backward pass of the same images.

    python benchmarks/grad_cam.py

The pass is that of a training step without its update: `training=True`, cross entropy, gradients of all weights, in one
traced function. Both are called in turn in one process; medians. "first" is the first call of Grad-CAM, with tracing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

MODELS = {"resnet20": 32, "resnet18": 64, "mobilenet_v2": 96, "resnet50": 96}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}; {options.images} images, {options.rounds} rounds")
    print("| model | pixels | forward and backward, s | Grad-CAM, s | ratio | first, s |\n|---|---|---|---|---|---|")
    for name in options.models:
        print(row(name, options.images, options.rounds), flush=True)


def row(name: str, n: int, rounds: int) -> str:
    """One line of the table."""
    import numpy as np
    import tensorflow as tf

    import cnnrecipes as cr

    side = MODELS.get(name, 64)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (n, side, side, 3), np.uint8)
    labels = tf.constant(random.integers(0, 10, n))
    model = cr.build(name, input_shape=(side, side, 3), classes=10)

    @tf.function(autograph=False)
    def forward_and_backward(inputs):
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        return tape.gradient(loss, [weight.value for weight in model.trainable_variables])

    maps, batch = cr.explain.GradCam(model), tf.constant(images.astype(np.float32))
    first = seconds(lambda: maps(images))
    forward_and_backward(batch)
    passes, found = [], []
    for _ in range(rounds):
        passes.append(seconds(lambda: forward_and_backward(batch)[0].numpy()))
        found.append(seconds(lambda: maps(images)))
    one, other = statistics.median(passes), statistics.median(found)
    return f"| {name} | {side} | {one:.3f} | {other:.3f} | {other / one:.2f} | {first:.1f} |"


def seconds(call) -> float:
    """The seconds of a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
