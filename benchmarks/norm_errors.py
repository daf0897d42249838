"""Errors of normalizations against float64, forward and gradient: cnnrecipes' layers beside Keras 3's own.

    python benchmarks/norm_errors.py

Activations are drawn from N(m, 1), and rounded to the dtype before either computes; gamma, beta and the upstream
gradient are drawn too. Printed is the largest absolute error of y, and of the gradients for x, gamma and beta. Half
precision rounds y and dx themselves: the column "rounding" is the largest error that this alone makes.
"""

from __future__ import annotations

import argparse

import side_by_side

KINDS = ("batch", "layer", "instance", "group")
MEANS = (0, 10, 100, 1_000, 10_000)
DTYPES = ("float32", "float16", "bfloat16")
SHAPE, GROUPS, EPSILON = (4, 32, 32, 64), 8, 1e-5
RESULTS = ("y", "dx", "dgamma", "dbeta")


def exact(kind: str, x, upstream, gamma, beta) -> list:
    """y, dx, dgamma and dbeta in float64, by the formula of batch (N, H, W) or group (H, W, a group) norm."""
    n, h, w, c = x.shape
    groups = {"batch": c, "layer": 1, "instance": c, "group": GROUPS}[kind]
    axes = (0, 1, 2, 4) if kind == "batch" else (1, 2, 4)

    def grouped(array):
        return array.reshape(n, h, w, groups, c // groups)

    mean = grouped(x).mean(axes, keepdims=True)
    centered = grouped(x) - mean
    inverse = ((centered**2).mean(axes, keepdims=True) + EPSILON) ** -0.5
    xhat = centered * inverse
    slope = grouped(upstream * gamma)
    means = slope.mean(axes, keepdims=True), (slope * xhat).mean(axes, keepdims=True)
    dx = (inverse * (slope - means[0] - xhat * means[1])).reshape(x.shape)
    xhat = xhat.reshape(x.shape)
    return [gamma * xhat + beta, dx, (upstream * xhat).sum((0, 1, 2)), upstream.sum((0, 1, 2))]


def layers(kind: str, dtype: str) -> dict:
    """Ours and Keras', in mixed precision where `dtype` is a half one."""
    import keras

    from cnnrecipes.layers import norm

    groups = {"layer": 1, "instance": -1, "group": GROUPS}
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    if kind == "batch":
        theirs = keras.layers.BatchNormalization(epsilon=EPSILON, dtype=policy)
    else:
        theirs = keras.layers.GroupNormalization(groups[kind], epsilon=EPSILON, dtype=policy)
    return {"ours": norm(kind, GROUPS)(dtype=policy), "Keras": theirs}


def computed(layer, x, upstream, gamma, beta, *, jit_compile: bool) -> list:
    """y, dx, dgamma and dbeta of a layer in training."""
    import tensorflow as tf

    layer.build(x.shape)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)

    @tf.function(autograph=False, jit_compile=jit_compile)
    def forward_and_backward(x, upstream):
        weights = [layer.gamma.value, layer.beta.value]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return [y, *tape.gradient(y, [x, *weights], output_gradients=upstream)]

    return [tf.cast(tensor, "float64").numpy() for tensor in forward_and_backward(x, upstream)]


def errors(kind: str, mean: float, dtype: str, *, jit_compile: bool = False, shape=SHAPE) -> dict[str, list[float]]:
    """The largest errors of y, dx, dgamma and dbeta: "ours", "Keras", and what rounding the results makes."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x, upstream = (tf.cast(tf.constant(rng.normal(at, 1, shape)), dtype) for at in (mean, 0))
    gamma, beta = (rng.normal(1, 0.5, shape[-1]).astype("float32") for _ in range(2))
    wide = [tf.cast(tensor, "float64").numpy() for tensor in (x, upstream)]
    expected = exact(kind, *wide, *(weight.astype("float64") for weight in (gamma, beta)))
    found = {
        name: computed(layer, x, upstream, gamma, beta, jit_compile=jit_compile)
        for name, layer in layers(kind, dtype).items()
    }
    dtypes = (dtype, dtype, "float32", "float32")
    found["rounding"] = [
        tf.cast(tf.cast(tf.constant(array), to), "float64").numpy() for array, to in zip(expected, dtypes, strict=True)
    ]
    return {
        name: [float(np.abs(a - b).max()) for a, b in zip(results, expected, strict=True)]
        for name, results in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--xla", action="store_true", help="compile with XLA")
    options = parser.parse_args()
    side_by_side.import_for("cnnrecipes")
    print(side_by_side.machine(1) + "\n")
    contenders = ("ours", "Keras", "rounding")
    heads = [f"{result}: {', '.join(contenders)}" for result in RESULTS]
    print("| norm | dtype | m | " + " | ".join(heads) + " |")
    print("|" + "---|" * (3 + len(heads)))
    for kind in options.kinds:
        for dtype in options.dtypes:
            for mean in MEANS:
                found = errors(kind, mean, dtype, jit_compile=options.xla)
                cells = [", ".join(f"{found[c][i]:.1e}" for c in contenders) for i in range(len(RESULTS))]
                print(f"| {kind} | {dtype} | {mean:,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
