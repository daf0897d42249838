"""Normalizations, forward and backward: cnnrecipes beside Keras 3's own layers and PyTorch's, in time and memory.

    python benchmarks/norms.py --torch-python TORCH_ENV/bin/python

Each contender runs in a process of its own, in turn, several rounds; printed are medians over all timed calls, and the
memory by which the calls raised the process' peak resident size, in MiB.

The contenders:
    cnnrecipes      the layers that `cnnrecipes.layers.norm` makes, TensorFlow's oneDNN kernels on
    keras           keras.layers.BatchNormalization and GroupNormalization, TensorFlow as it comes
    keras+onednn    the same with TF_ENABLE_ONEDNN_OPTS=1
    torch           BatchNorm2d, GroupNorm(1), GroupNorm(C) and GroupNorm(8), channels_last
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time

import side_by_side

SHAPES = {"128x32x32x64": (128, 32, 32, 64), "32x56x56x256": (32, 56, 56, 256)}
KINDS = ("batch", "layer", "instance", "group")
CASES = [f"{kind} {shape}" for shape in SHAPES for kind in KINDS]
CONTENDERS = ("cnnrecipes", "keras", "keras+onednn", "torch")
GROUPS = 8
WARMUP, CALLS = 2, 7


def keras_call(contender: str, kind: str, shape: tuple[int, ...]):
    """A function that normalizes and goes back once, for cnnrecipes or stock Keras."""
    side_by_side.import_for(contender)
    import keras
    import tensorflow as tf

    from cnnrecipes.layers import norm

    groups = {"layer": 1, "instance": -1, "group": GROUPS}
    if contender == "cnnrecipes":
        layer = norm(kind, GROUPS)()
    elif kind == "batch":
        layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    else:
        layer = keras.layers.GroupNormalization(groups[kind], epsilon=1e-5)
    layer.build(shape)
    x, upstream = (tf.random.normal(shape, seed=seed) for seed in (0, 1))
    weights = [layer.gamma.value, layer.beta.value]

    @tf.function(autograph=False, jit_compile=False)
    def forward_and_backward(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True) if kind == "batch" else layer(x)
        return tape.gradient(y, [x, *weights], output_gradients=upstream)

    return lambda: forward_and_backward(x, upstream)[1].numpy()


def torch_call(kind: str, shape: tuple[int, ...]):
    """The same for PyTorch; runs in an interpreter that has it."""
    import torch

    n, h, w, c = shape
    groups = {"layer": 1, "instance": c, "group": GROUPS}
    layer = torch.nn.BatchNorm2d(c) if kind == "batch" else torch.nn.GroupNorm(groups[kind], c)
    x, upstream = (torch.randn(n, c, h, w).contiguous(memory_format=torch.channels_last) for _ in range(2))
    x.requires_grad_()
    return lambda: torch.autograd.grad(layer(x), [x, layer.weight, layer.bias], upstream)[1].numpy()


def measure(call) -> dict[str, object]:
    """Seconds of each timed call, and mebibytes taken beyond what was there before the first."""
    before = peak_mebibytes()
    seconds = []
    for _ in range(WARMUP + CALLS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[WARMUP:], "memory": peak_mebibytes() - before}


def peak_mebibytes() -> float:
    """The peak resident size of this process; Linux gives KiB, macOS bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", help="a Python with torch==2.13.0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, metavar="'KIND SHAPE'")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kind, shape = options.case.split()
        is_torch = options.worker == "torch"
        call = torch_call(kind, SHAPES[shape]) if is_torch else keras_call(options.worker, kind, SHAPES[shape])
        print(json.dumps(measure(call)))
        return
    contenders = [c for c in CONTENDERS if c != "torch" or options.torch_python]
    print(side_by_side.machine(options.rounds) + "\n")
    heads = [f"{c}, ms (MiB)" for c in contenders] + [f"{c} / ours" for c in contenders[1:]]
    print("| norm | activations | " + " | ".join(heads) + " |")
    print("|" + "---|" * (2 + len(heads)))
    for case in options.cases:
        results: dict[str, list[dict]] = {c: [] for c in contenders}
        for _ in range(options.rounds):
            for contender in contenders:
                results[contender].append(side_by_side.run(__file__, contender, case, options.torch_python))
        print(row(case, results), flush=True)


def row(case: str, results: dict[str, list[dict]]) -> str:
    """One line of the table: medians of time and memory, and how many times ours each other takes."""
    seconds = {c: statistics.median(s for r in found for s in r["seconds"]) for c, found in results.items()}
    memory = {c: statistics.median(r["memory"] for r in found) for c, found in results.items()}
    cells = [f"{1e3 * seconds[c]:.0f} ({memory[c]:.0f})" for c in results]
    cells += [f"{seconds[c] / seconds['cnnrecipes']:.2f}" for c in list(results)[1:]]
    return "| " + " | ".join([*case.split(), *cells]) + " |"


if __name__ == "__main__":
    main()
