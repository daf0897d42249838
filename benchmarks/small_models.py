"""Small models: ResNet-8 on the digits, by `cnnrecipes.fit` and by plain Keras `fit` of the same graph.

    python benchmarks/small_models.py

Steps of a small model take milliseconds, so that what Python and callbacks do between them counts. Each contender runs
in a process of its own, in turn, several rounds; an epoch is 19 steps of 64 images and a validation of 179. Printed are
medians of whole epochs, without the first two, which compile.

The contenders:
    cnnrecipes      all of it: checkpoints, history, best weights, TensorBoard; batches of training pad_crop-augmented
    keras           the same graph in keras.layers, keras.optimizers.SGD, arrays, no callbacks, no augmentation
    keras+onednn    the same with TF_ENABLE_ONEDNN_OPTS=1, as cnnrecipes sets it
    keras+steps     that, compiled with steps_per_execution=19, an epoch
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time

import side_by_side

EPOCHS = 22
CONTENDERS = ("cnnrecipes", "keras", "keras+onednn", "keras+steps")


def ours() -> list[float]:
    """Seconds of each epoch by `cnnrecipes.fit`."""
    side_by_side.import_for("cnnrecipes")
    import cnnrecipes as cr
    from cnnrecipes.training.callbacks.validation_and_history import EpochMetrics

    times, begin = [], EpochMetrics.on_epoch_begin

    def timed(self, epoch, logs=None):
        # From the beginning of an epoch to that of the next: with all that is done when it ends.
        times.append(time.perf_counter())
        begin(self, epoch, logs)

    EpochMetrics.on_epoch_begin = timed
    with tempfile.TemporaryDirectory() as folder:
        cr.fit("resnet8_digits", workdir=folder, progress=False, **{"train.epochs": EPOCHS + 1})
    return [after - before for before, after in itertools.pairwise(times)]


def keras_fit(contender: str) -> list[float]:
    """Seconds of each epoch by `keras.Model.fit`."""
    side_by_side.import_for("keras" if contender == "keras" else "keras+onednn")
    import functools

    import keras
    import numpy as np

    import cnnrecipes as cr
    from cnnrecipes.data.sources.opening import open_source
    from cnnrecipes.layers.norm import EPSILON, MOMENTUM
    from cnnrecipes.recipe import catalog

    source = open_source(None, catalog.load("resnet8_digits").data)
    arrays = {
        name: (np.stack([split.read(i)[0] for i in range(len(split))]), np.eye(10, dtype="float32")[split.labels])
        for name, split in ((name, source.split(name)) for name in ("train", "validation"))
    }
    images, labels = arrays["train"]
    kept = len(images) // 64 * 64
    norm = functools.partial(keras.layers.BatchNormalization, momentum=MOMENTUM, epsilon=EPSILON)
    model = cr.build("resnet8", input_shape=images.shape[1:], classes=10, norm=norm, mean=[120.0], std=[90.0])
    model.compile(
        optimizer=keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,
        steps_per_execution=19 if contender == "keras+steps" else 1,
    )
    times = [time.perf_counter()]
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: times.append(time.perf_counter()))
    model.fit(
        images[:kept],
        labels[:kept],
        batch_size=64,
        epochs=EPOCHS,
        validation_data=arrays["validation"],
        callbacks=[clock],
        verbose=0,
    )
    return [after - before for before, after in itertools.pairwise(times)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(ours() if options.worker == "cnnrecipes" else keras_fit(options.worker)))
        return
    seconds: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
    print(side_by_side.machine(options.rounds) + "\n")
    for _ in range(options.rounds):
        for contender in CONTENDERS:
            seconds[contender] += side_by_side.run(__file__, contender, "digits", None)[2:]
    medians = {contender: statistics.median(times) for contender, times in seconds.items()}
    print("| contender | seconds an epoch | cnnrecipes is faster by |\n|---|---|---|")
    for contender, median in medians.items():
        print(f"| {contender} | {median:.4f} | {median / medians['cnnrecipes']:.2f}x |")


if __name__ == "__main__":
    main()
