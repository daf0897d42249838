"""Fine-tuning a pretrained backbone: the fused norm beside stock keras.applications, and frozen stages.

    python benchmarks/transfer.py norm --model keras_resnet50
    python benchmarks/transfer.py frozen --model mobilenet_v2 --train-from stage4

Each contender runs in a process of its own, in turn, several rounds, so that a machine whose speed drifts is fair to
all; a step is a call of the compiled train function on one constant batch. Weights are drawn: they do not change the
time. Printed are medians over all timed steps.

The contenders of `norm`, all stages and batch norms trained:
    cnnrecipes      as `cnnrecipes.fit` trains with transfer.how=finetune and transfer.batch_norm=train
    fused           keras.applications with the fused norms (`layers.with_fast_norms`), Keras' own compile and SGD
    keras+onednn    keras.applications as it comes, Keras' own compile and SGD, with TF_ENABLE_ONEDNN_OPTS=1
    keras           the same, TensorFlow as it comes

The contenders of `frozen`, batch norms in inference mode:
    all             nothing frozen
    frozen          the stages below --train-from frozen, and computed in every step
    cached          the same on cached outputs of the frozen stages
The ideal is the ratio of multiply-adds: 1 forward for a frozen layer, 3 for a trained one (forward, gradient of the
input and of the kernel), 2 for the trained ones whose input needs no gradient.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

import side_by_side

CLASSES, WARMUP, STEPS = 5, 3, 6
CONTENDERS = {"norm": ("cnnrecipes", "fused", "keras+onednn", "keras"), "frozen": ("all", "frozen", "cached")}


def recipe(case: dict, **transfer):
    """The recipe of a fine-tuning of the case's model on random images."""
    import cnnrecipes as cr

    tables = {
        "data": {"name": "arrays", "image_size": case["pixels"], "batch_size": case["batch"], "validation": 0.0},
        "model": {"name": case["model"], **({"alpha": case["alpha"]} if case["alpha"] else {})},
        "optimizer": {"name": "sgd", "learning_rate": 1e-3, "weight_decay": 0.0},
        "train": {"epochs": 1, "precision": "float32"},
        "transfer": {"how": "finetune", **transfer},
    }
    return cr.Recipe.from_dict(tables, "benchmark")


def pipeline(case: dict, **transfer):
    """Random images as a pipeline, one batch."""
    import numpy as np

    from cnnrecipes.data.input_pipeline import InputPipeline

    size, batch = case["pixels"], case["batch"]
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    return InputPipeline.open(recipe(case, **transfer), (images, np.arange(batch) % CLASSES))


def our_model(case: dict, contender: str):
    """The compiled model in training of cnnrecipes."""
    from cnnrecipes.runs.training_progress import TrainState
    from cnnrecipes.training.distributed.devices import Devices
    from cnnrecipes.training.model_plan import ModelPlan
    from cnnrecipes.training.train_job import TrainJob
    from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
    from cnnrecipes.transfer.fine_tuning import FinetunePlan, SuffixPlan, divided

    parts = contender in ("frozen", "cached")
    table = {"train_from": case["train_from"]} if parts else {}
    images = pipeline(case, batch_norm="train" if contender == "cnnrecipes" else "inference", **table)
    whole = ModelPlan(images).whole()
    plan = FinetunePlan(images, start_weights=whole.get_weights())
    if contender == "cached":
        features = FeaturePipeline(images, divided(whole, case["train_from"]).frozen)
        plan = SuffixPlan(features, start_weights=plan.start_weights)
    model = TrainJob.build(plan, Devices.open("single")).model
    model.progress = TrainState(steps_per_epoch=WARMUP + STEPS)
    return model, model.inner.input_shape[1:]


def stock_model(case: dict, contender: str):
    """keras.applications with a head, compiled by Keras."""
    import keras

    from cnnrecipes import models
    from cnnrecipes.layers import with_fast_norms

    spec, shape = recipe(case).model, (case["pixels"], case["pixels"], 3)
    row = models.find(spec.name)
    backbone = row.application.stock(row.complete(spec), shape)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(CLASSES)(pooled))
    model = with_fast_norms(model) if contender == "fused" else model
    model.compile(
        keras.optimizers.SGD(1e-3, momentum=0.9, nesterov=True),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    return model, shape


def step_seconds(case: dict, contender: str) -> list[float]:
    """Seconds of each timed step of a contender."""
    if contender == "keras+onednn":
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    side_by_side.import_for("keras" if contender.startswith("keras") else contender)
    import numpy as np
    import tensorflow as tf

    stock = contender in ("fused", "keras", "keras+onednn")
    model, shape = (stock_model if stock else our_model)(case, contender)
    random = np.random.default_rng(0)
    inputs = random.normal(0, 1, (case["batch"], *shape)).astype("float32")
    labels = np.eye(CLASSES, dtype="float32")[np.arange(case["batch"]) % CLASSES]
    # A data set that ends, so that no autotuning thread is left to wait for.
    batches = iter(tf.data.Dataset.from_tensors((tf.constant(inputs), tf.constant(labels))).repeat(WARMUP + STEPS))
    step = model.make_train_function() or model.train_function
    seconds = []
    for _ in range(WARMUP + STEPS):
        start = time.perf_counter()
        float(step(batches)["loss"])
        seconds.append(time.perf_counter() - start)
    return seconds[WARMUP:]


def ideal_ratios(case: dict) -> dict[str, float]:
    """Multiply-adds of a step of each contender of `frozen`, over those of "all"."""
    import keras

    from cnnrecipes.models import layers_by_stage
    from cnnrecipes.models.cost import cost
    from cnnrecipes.training.model_plan import ModelPlan
    from cnnrecipes.transfer.layer_freezing import frozen_stages

    def inputs(layer) -> set[int]:
        return {id(tensor) for tensor in keras.tree.flatten(layer.input)}

    model = ModelPlan(pipeline(case)).whole()
    table, groups = cost(model), layers_by_stage(model)
    of_layer = dict(zip(table["layer"], table["multiply_adds"], strict=True))
    below = {layer.name for name in frozen_stages(model, case["train_from"]) for layer in groups[name]}
    stem = next(name for name, count in of_layer.items() if count)
    takes = {id(layer.output) for layer in model.layers if layer.name in below}
    first = {layer.name for layer in model.layers if layer.name not in below and takes & inputs(layer)}
    prefix = sum(count for name, count in of_layer.items() if name in below)
    suffix = sum(count for name, count in of_layer.items() if name not in below)
    trained = 3 * suffix - sum(of_layer.get(name, 0) for name in first)
    everything = 3 * (prefix + suffix) - of_layer[stem]
    return {"all": 1.0, "frozen": (prefix + trained) / everything, "cached": trained / everything}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=CONTENDERS, default="norm")
    parser.add_argument("--model", default="mobilenet_v2", help="a backbone of keras.applications")
    parser.add_argument("--alpha", type=float, help="width multiplier of MobileNets")
    parser.add_argument("--train-from", default="stage3", help="first trained stage of `frozen`")
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(step_seconds(json.loads(options.case), options.worker)))
        return
    case = {key: getattr(options, key) for key in ("model", "alpha", "train_from", "pixels", "batch")}
    seconds: dict[str, list[float]] = {contender: [] for contender in CONTENDERS[options.what]}
    for _ in range(options.rounds):
        for contender, found in seconds.items():
            found += side_by_side.run(__file__, contender, json.dumps(case), None)
    report(options, case, {contender: statistics.median(found) for contender, found in seconds.items()})


def report(options: argparse.Namespace, case: dict, medians: dict[str, float]) -> None:
    """Print the table of step times and ratios."""
    print(side_by_side.machine(options.rounds))
    print(f"{case['model']}, {case['pixels']} pixels, batches of {case['batch']}\n")
    first, *_ = medians
    ideal = ideal_ratios(case) if options.what == "frozen" else {}
    print(f"| contender | ms a step | time / {first} |" + (" multiply-adds / all |" if ideal else ""))
    print("|---|---|---|" + ("---|" if ideal else ""))
    for contender, median in medians.items():
        cells = [contender, f"{1e3 * median:.0f}", f"{median / medians[first]:.2f}"]
        cells += [f"{ideal[contender]:.2f}"] if ideal else []
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
