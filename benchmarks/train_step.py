"""One training step: cnnrecipes beside the same architecture in stock Keras 3 layers, and in PyTorch.

    python benchmarks/train_step.py --torch-python TORCH_ENV/bin/python

Each contender runs in a process of its own, in turn, several rounds, so that a machine whose speed drifts is fair to
all; a step is a call of the compiled train function on one constant batch. Printed are medians over all timed steps.
TORCH_ENV is any environment with torch==2.13.0; without it PyTorch is left out.

The contenders:
    cnnrecipes      as `cnnrecipes.fit` trains: fused norms, our SGD, TensorFlow's oneDNN kernels on
    keras           the same graph with keras.layers.BatchNormalization and keras.optimizers.SGD, TensorFlow as it comes
    keras+onednn    the same with TF_ENABLE_ONEDNN_OPTS=1: what is left when the environment is equal
    torch           PyTorch, channels_last, SGD with Nesterov momentum
None uses XLA: on a CPU it is slower for these nets.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time

import side_by_side

# model -> (pixels, batch, classes, warm-up steps, timed steps a round)
CASES = {"resnet20": (32, 128, 10, 3, 10), "resnet18": (32, 64, 10, 2, 5), "resnet50": (224, 16, 1000, 2, 4)}
CONTENDERS = ("cnnrecipes", "keras", "keras+onednn", "torch")


def keras_steps(contender: str, name: str) -> list[float]:
    """Seconds of each timed step of cnnrecipes or stock Keras."""
    size, batch, classes, warmup, steps = CASES[name]
    side_by_side.import_for(contender)
    import keras
    import numpy as np
    import tensorflow as tf

    import cnnrecipes as cr
    from cnnrecipes.keras_optim.recipe_optimizer import build_optimizer
    from cnnrecipes.keras_optim.recipe_schedule import build_schedule
    from cnnrecipes.layers.norm import EPSILON, MOMENTUM
    from cnnrecipes.runs.training_progress import TrainState
    from cnnrecipes.training.train_job import compile_model
    from cnnrecipes.training.training_step import TrainModel

    options = {"input_shape": (size, size, 3), "classes": classes, "stem": "cifar" if name == "resnet18" else None}
    whole = cr.Recipe.from_dict(
        {
            "data": {"name": "-"},
            "model": {"name": name},
            "optimizer": {"learning_rate": 0.01},
            "train": {"epochs": 1},
        },
        "benchmark",
    )
    if contender == "cnnrecipes":
        built = cr.build(name, **options)
        planned = build_schedule(whole.optimizer, whole.train, steps_per_epoch=1000)
        model = TrainModel(built, schedule=planned)
        compile_model(model, whole, build_optimizer(whole.optimizer, built, planned))
        model.progress = TrainState(steps_per_epoch=warmup + steps)
    else:
        stock_norm = functools.partial(keras.layers.BatchNormalization, momentum=MOMENTUM, epsilon=EPSILON)
        model = cr.build(name, norm=stock_norm, **options)
        model.compile(
            optimizer=keras.optimizers.SGD(
                0.01, momentum=0.9, nesterov=True, weight_decay=whole.optimizer.weight_decay
            ),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=False,
        )
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, size, size, 3)).astype("float32") / 64 - 2
    labels = np.eye(classes, dtype="float32")[random.integers(0, classes, batch)]
    # A data set that ends, so that no autotuning thread is left to wait for.
    batches = iter(tf.data.Dataset.from_tensors((tf.constant(images), tf.constant(labels))).repeat(warmup + steps))
    step = model.make_train_function() or model.train_function
    seconds = []
    for _ in range(warmup + steps):
        start = time.perf_counter()
        logs = step(batches)
        float(logs["loss"])
        seconds.append(time.perf_counter() - start)
    return seconds[warmup:]


def torch_steps(name: str) -> list[float]:
    """The same for PyTorch; runs in an interpreter that has it."""
    from torch_resnet import step_seconds

    size, batch, classes, warmup, steps = CASES[name]
    return step_seconds(name, size, batch, classes, warmup, steps, time.perf_counter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", help="a Python with torch==2.13.0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        steps = torch_steps(options.case) if options.worker == "torch" else keras_steps(options.worker, options.case)
        print(json.dumps(steps))
        return
    contenders = [c for c in CONTENDERS if c != "torch" or options.torch_python]
    print(side_by_side.machine(options.rounds) + "\n")
    print("| model | pixels | batch | " + " | ".join(f"{c}, images/s" for c in contenders), end=" | ")
    print(" | ".join(f"ours / {c}" for c in contenders[1:]) + " |")
    print("|" + "---|" * (3 + len(contenders) + len(contenders) - 1))
    for name in options.models:
        seconds: dict[str, list[float]] = {c: [] for c in contenders}
        for _ in range(options.rounds):
            for contender in contenders:
                seconds[contender] += side_by_side.run(__file__, contender, name, options.torch_python)
        size, batch, *_ = CASES[name]
        rates = {c: batch / statistics.median(s) for c, s in seconds.items()}
        cells = [f"{rate:.1f}" for rate in rates.values()]
        cells += [f"{rates['cnnrecipes'] / rates[c]:.2f}" for c in contenders[1:]]
        print(f"| {name} | {size} | {batch} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
