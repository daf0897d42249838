"""Optimizers against PyTorch, timm, Keras, and their formulas in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.errors import RecipeError, TrainingError
from cnnrecipes.keras_optim.recipe_optimizer import RecipeOptimizer, build_optimizer
from cnnrecipes.keras_optim.recipe_schedule import build_schedule
from cnnrecipes.models import build
from cnnrecipes.optim.optimizers.sgd import SGD
from cnnrecipes.optim.weight_averages import build_averages
from cnnrecipes.recipe import catalog, schema

X = np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, -0.25]], np.float32)
Y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)


def trained(steps, **changes):
    """Kernel and bias of a linear model after some steps, as in the PyTorch program below."""
    spec = schema.Optimizer(weight_decay=0.1, **changes)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.set_weights([np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.25, -1.5])])
    model.compile(build_optimizer(spec, model, 0.1), "mse", jit_compile=False)
    model.fit(X, Y, batch_size=3, epochs=steps, verbose=0)
    return np.concatenate([weights.ravel() for weights in model.get_weights()])


# Recorded with torch 2.13.0; w, b, x, y as above and in trained:
#   o = torch.optim.SGD([{"params": [w], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}], lr=0.1, ...)
#   for _ in range(steps): o.zero_grad(); ((x @ w + b - y) ** 2).mean().backward(); o.step()
# with momentum=0.9, nesterov=True; with momentum=0.0; and torch.optim.AdamW(..., lr=0.1, eps=1e-7).
@pytest.mark.parametrize(
    ("changes", "steps", "recorded"),
    [
        ({}, 1, [0.466416627, -0.299500048, 0.381645828, 2.44820833, 0.0679166541, -1.13583326]),
        ({}, 2, [0.12744379, 0.865977168, 0.298701704, 1.6897037, -0.0389495417, -0.930072963]),
        ({}, 3, [0.0305211581, 1.30960453, 0.262512803, 0.868542969, -0.0539902523, -0.870752513]),
        ({"momentum": 0.0}, 3, [0.459394723, -0.222112522, 0.374726534, 2.16648173, 0.071805723, -1.142658]),
        (
            {"name": "adamw(epsilon=1e-7)"},
            1,
            [0.890000045, -1.88, 0.395000041, 2.87000012, 0.150000006, -1.39999998],
        ),
        (
            {"name": "adamw(epsilon=1e-7)"},
            3,
            [0.677919686, -1.64433587, 0.213066965, 2.61423993, -0.0393163562, -1.20085299],
        ),
    ],
)
def test_steps_match_pytorch(changes, steps, recorded):
    np.testing.assert_allclose(trained(steps, **changes), recorded, rtol=1e-6, atol=1e-6)


class TwoWeights(keras.Model):
    """A matrix and a bias, as in the recorded PyTorch example."""

    def __init__(self):
        super().__init__()
        self.w = self.add_weight(shape=(2, 2), name="kernel")
        self.b = self.add_weight(shape=(2,), name="bias")
        self.w.assign([[1.0, -2.0], [0.5, 3.0]])
        self.b.assign([1.0, -1.0])


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        # torch 2.13.0, three steps at lr 0.05 on loss_i = (i+1)/2 sum(w^2) + sum(w * [[1, 2], [3, 4]]) + sum(b^3):
        # SGD(momentum=0.9, nesterov=True, weight_decay=0.1) and AdamW(weight_decay=0.1, eps=1e-7), no decay on b
        (
            {"name": "sgd"},
            [0.0449318215, -1.3423316479, -0.7603266239, -0.1783217192, 0.2191872597, -3.1912705898],
        ),
        (
            {"name": "adamw(epsilon=1e-7)"},
            [0.8365480304, -1.8915479183, 0.3430438936, 2.8065836430, 0.8507438302, -1.1502468586],
        ),
    ],
)
def test_three_optimizer_steps_match_pytorch(changes, recorded):
    model = TwoWeights()
    made = build_optimizer(schema.Optimizer(weight_decay=0.1, **changes), model, 0.05)
    for i in range(3):
        with tf.GradientTape() as tape:
            w, b = model.w.value, model.b.value
            loss = (i + 1) / 2 * tf.reduce_sum(w**2) + tf.reduce_sum(w * [[1.0, 2], [3, 4]]) + tf.reduce_sum(b**3)
        made.apply_gradients(zip(tape.gradient(loss, [w, b]), [model.w, model.b], strict=True))
    found = np.concatenate([model.w.numpy().ravel(), model.b.numpy()])
    np.testing.assert_allclose(found, recorded, atol=2e-6)


def test_norms_and_biases_have_no_weight_decay():
    model = build("resnet8", input_shape=(8, 8, 1), classes=3)
    made = build_optimizer(schema.Optimizer(), model, 0.1)
    made.build(model.trainable_variables)
    decayed = [v for v in model.trainable_variables if made._use_weight_decay(v)]
    assert {v.path.split("/")[-1] for v in decayed} == {"kernel"}
    assert len(decayed) == 8


def recipe_sgd(learning_rate, *, nesterov=False, **options):
    """The equivalent of `keras.optimizers.SGD`."""
    return RecipeOptimizer(SGD(nesterov=nesterov), learning_rate, **options)


def fitted_weights(cls, *, strategy=None, scaled=False, **options):
    """The weights after some training steps on noise."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        layers = [keras.Input((5,)), keras.layers.Dense(7, activation="tanh"), keras.layers.Dense(3)]
        model = keras.Sequential(layers)
        made = cls(0.1, **options)
        model.compile(keras.optimizers.LossScaleOptimizer(made) if scaled else made, "mse", jit_compile=False)
    model.fit(random.normal(size=(64, 5)), random.normal(size=(64, 3)), batch_size=16, shuffle=False, verbose=0)
    return np.concatenate([weights.ravel() for weights in model.get_weights()])


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9},
        {"nesterov": True, "momentum": 0.9},
        {"nesterov": True, "momentum": 0.9, "clipnorm": 0.1},
        {"nesterov": True, "momentum": 0.9, "gradient_accumulation_steps": 2},
        {"momentum": 0.9, "use_ema": True, "ema_overwrite_frequency": 3},
        {"momentum": 0.9, "scaled": True},
    ],
)
def test_sgd_without_weight_decay_matches_keras(options):
    np.testing.assert_allclose(
        fitted_weights(recipe_sgd, **options), fitted_weights(keras.optimizers.SGD, **options), rtol=1e-6, atol=1e-7
    )


def test_mirrored_strategy_matches_the_default_strategy():
    options = {"momentum": 0.9, "nesterov": True, "coupled_decay": 0.1}
    mirrored = fitted_weights(recipe_sgd, strategy=tf.distribute.MirroredStrategy(["CPU:0"]), **options)
    np.testing.assert_allclose(mirrored, fitted_weights(recipe_sgd, **options), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_vectors_have_no_weight_decay(name):
    """With zero gradients, only weight decay changes a weight."""
    model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(3, 3), keras.layers.BatchNormalization()])
    model.set_weights([np.ones(w.shape) for w in model.get_weights()])
    made = build_optimizer(schema.Optimizer(name=name, weight_decay=0.1), model, 0.5)
    made.apply([tf.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    moved = {v.path.split("/")[-1]: not np.array_equal(v.numpy(), np.ones(v.shape)) for v in model.trainable_variables}
    assert moved == {"kernel": True, "bias": False, "gamma": False, "beta": False}
    # sgd: Nesterov's first step is (1 + momentum) times lr * decay
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), {"sgd": 1 - 1.9 * 0.05, "adamw": 0.95}[name], rtol=1e-6)


def test_clip_norm_uses_the_global_norm():
    """The norm over all variables, before decay and momentum; in NumPy: SGD's first Nesterov step is 1.9 * lr * g."""
    spec = schema.Optimizer(weight_decay=0.0, clip_norm=0.5)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    before = [w.copy() for w in model.get_weights()]
    made = build_optimizer(spec, model, 0.1)
    gradients = [np.array([[3.0, 0.0], [0.0, 4.0]], np.float32), np.array([12.0, 0.0], np.float32)]
    made.apply([tf.constant(g) for g in gradients], model.trainable_variables)
    for old, new, gradient in zip(before, model.get_weights(), gradients, strict=True):
        np.testing.assert_allclose(new, old - 1.9 * 0.1 * gradient * 0.5 / 13, rtol=1e-5, atol=1e-7)


def linear_steps(steps, gradient_of, **changes):
    """A weight matrix after some steps with given gradients, and the optimizer."""
    spec = schema.Optimizer(**changes)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([np.arange(6.0).reshape(3, 2) - 2])
    made = build_optimizer(spec, model, 0.1)
    for k in range(steps):
        made.apply([tf.constant(gradient_of(k), tf.float32)], model.trainable_variables)
    return model.get_weights()[0], made


# Recorded in float64 with torch 2.13.0 and timm 1.0.31, 30 steps at lr=0.01 on the gradients below, weight_decay=0.1
# for the kernel w and 0.0 for the bias b: torch.optim.AdamW(p, lr=0.01), torch.optim.Adam(p, lr=0.01) and
# timm.optim.Lamb(p, lr=0.01, max_grad_norm=None). Gradients from 1 to 1e-7 show where epsilon is added.
REFERENCES = {
    ("adamw", "decoupled"): [
        -0.0214219875, 0.813523477, 0.911824837, 0.160452794, -0.728596591, -0.959150458, -0.296201024, 0.629950282,
        0.987567805, 0.426890653, -0.516590133, -0.996293994, 0.471016135, -0.264377862, 0.00507988578,
    ],
    ("adamw", "coupled"): [
        -0.0213042373, 0.62312768, 0.619047697, -0.0247969094, -0.468867168, -0.668037284, -0.0262220941, 0.371332026,
        0.976898344, 0.299411984, -0.265709274, -0.708627257, 0.471016135, -0.264377862, 0.00507988578,
    ],
    ("lamb", "decoupled"): [
        -0.0364578369, 0.745621881, 0.8510968, 0.164564871, -0.663175545, -0.873874252, -0.248525703, 0.517267822,
        0.916826177, 0.409522715, -0.46369416, -0.920894591, 0.471399085, -0.262866341, 0.0046489525,
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "decay"), REFERENCES)
def test_thirty_steps_match_torch_and_timm(name, decay):
    """With the default hyperparameters of both sides, including epsilon."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.set_weights([np.sin(np.arange(12.0)).reshape(4, 3), np.array([0.5, -0.25, 0.0])])
    made = build_optimizer(schema.Optimizer(name=name, decay=decay, weight_decay=0.1), model, 0.01)
    for k in range(30):
        g = np.cos(1.7 * k + np.arange(15.0)) * 10.0 ** -(np.arange(15) % 8)
        made.apply([tf.constant(x, tf.float32) for x in (g[:12].reshape(4, 3), g[12:])], model.trainable_variables)
    found = np.concatenate([weights.ravel() for weights in model.get_weights()])
    np.testing.assert_allclose(found, REFERENCES[name, decay], rtol=0, atol=2e-6)


def gradient(k):
    return np.cos(k + np.arange(6.0)).reshape(3, 2)


def test_lion_matches_algorithm_2():
    found, _ = linear_steps(4, gradient, name="lion", weight_decay=0.3)
    w, m = np.arange(6.0).reshape(3, 2) - 2, np.zeros((3, 2))
    for k in range(4):
        step = np.sign(0.9 * m + 0.1 * gradient(k))
        w = w - 0.1 * (step + 0.3 * w)
        m = 0.99 * m + 0.01 * gradient(k)
    np.testing.assert_allclose(found, w, rtol=1e-5)


def test_lamb_is_the_adam_step_times_the_trust_ratio():
    found, _ = linear_steps(3, gradient, name="lamb", weight_decay=0.0)
    w, m, v = np.arange(6.0).reshape(3, 2) - 2, 0.0, 0.0
    for k in range(3):
        g = gradient(k)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = (m / (1 - 0.9 ** (k + 1))) / (np.sqrt(v / (1 - 0.999 ** (k + 1))) + 1e-6)
        w = w - 0.1 * np.linalg.norm(w) / np.linalg.norm(step) * step
    np.testing.assert_allclose(found, w, rtol=1e-5)


def test_coupled_decay_of_adam_matches_pytorch_adam():
    """The formula of torch.optim.Adam(weight_decay=0.1): the decay enters both moments."""
    found, _ = linear_steps(3, gradient, name="adamw", decay="coupled", weight_decay=0.1)
    w, m, v = np.arange(6.0).reshape(3, 2) - 2, 0.0, 0.0
    for k in range(3):
        g = gradient(k) + 0.1 * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - 0.1 * (m / (1 - 0.9 ** (k + 1))) / (np.sqrt(v / (1 - 0.999 ** (k + 1))) + 1e-7)
    np.testing.assert_allclose(found, w, rtol=2e-5)


def test_decoupled_decay_of_sgd_bypasses_momentum():
    found, _ = linear_steps(3, lambda k: np.zeros((3, 2)), decay="decoupled", weight_decay=0.1)
    np.testing.assert_allclose(found, (np.arange(6.0).reshape(3, 2) - 2) * (1 - 0.1 * 0.1) ** 3, rtol=1e-6)


def convolutional():
    """Three layers of weights; only what the tests need has a bias, as each variable lengthens every graph."""
    layers = [keras.Input((8, 8, 2)), keras.layers.Conv2D(4, 3, use_bias=False), keras.layers.BatchNormalization()]
    layers += [keras.layers.Conv2D(6, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, use_bias=False)]
    return keras.Sequential(layers)


def test_muon_orthogonalizes_inner_convolutions_only():
    model = convolutional()
    made = build_optimizer(schema.Optimizer(name="muon", weight_decay=0.0), model, 0.1)
    before = {v.path: v.numpy() for v in model.trainable_variables}
    random = np.random.default_rng(0)
    gradients = {v.path: random.normal(size=v.shape).astype(np.float32) for v in model.trainable_variables}
    made.apply([tf.constant(g) for g in gradients.values()], model.trainable_variables)
    first, inner, last = (layer.kernel for layer in model.layers if hasattr(layer, "kernel"))
    update = (before[inner.path] - inner.numpy()).reshape(-1, 6)
    # 0.2 sqrt(max(36, 6)) times singular values that five Newton-Schulz steps bring into [0.68, 1.13] (Jordan et al.)
    singular = np.linalg.svd(update / (0.1 * 0.2 * np.sqrt(36)), compute_uv=False)
    assert ((singular > 0.6) & (singular < 1.25)).all()
    # the singular vectors are those of Nesterov's first momentum, 1.95 times the gradient
    left, _, right = np.linalg.svd(gradients[inner.path].reshape(-1, 6), full_matrices=False)
    along = left.T @ update @ right.T
    assert np.abs(along - np.diag(np.diag(along))).max() < 0.02 * np.abs(along).max()
    for variable in (first, last):  # Adam's first step is the sign times the rate
        moved = before[variable.path] - variable.numpy()
        np.testing.assert_allclose(moved, 0.1 * np.sign(gradients[variable.path]), rtol=1e-3)


def test_muon_weight_decay_uses_the_rate_of_each_variable():
    """With zero gradients only decay changes a weight: by rate * auxiliary_rate * decay where AdamW updates it."""
    model = convolutional()
    spec = schema.Optimizer(name="muon(auxiliary_rate=0.25)", weight_decay=0.2, layer_decay=0.5, decay_all=True)
    made = build_optimizer(spec, model, 0.1)
    model.set_weights([np.ones(w.shape) for w in model.get_weights()])
    made.apply([tf.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    first, norm, inner, last = (layer for layer in model.layers if layer.trainable_variables)
    expected = [
        (first.kernel, 0.25 * 0.25),
        (norm.gamma, 0.25 * 0.25),
        (inner.kernel, 0.5),
        (inner.bias, 0.5 * 0.25),
        (last.kernel, 0.25),
    ]
    for variable, rate in expected:
        np.testing.assert_allclose(variable.numpy(), 1 - 0.1 * 0.2 * rate, rtol=1e-6, err_msg=variable.path)


OPTIMIZERS = ["sgd", "adamw", "lamb", "lion", "muon", "schedule_free_adamw"]


@pytest.mark.parametrize(
    ("name", "decay"), [*((name, None) for name in OPTIMIZERS), ("sgd", "decoupled"), ("adamw", "coupled")]
)
def test_xla_gives_the_same_weights_as_eager_execution(name, decay):
    """With a schedule, clipping, layer-wise rates, and the averages of weights that the optimizer allows."""
    found = {}
    with_averages = {} if name == "schedule_free_adamw" else {"ema": 0.9, "lookahead": 2}
    spec = schema.Optimizer(name=name, decay=decay, weight_decay=0.1, layer_decay=0.7, clip_norm=1.0, **with_averages)
    for jit in (False, True):
        keras.utils.set_random_seed(0)
        model = convolutional()
        made = build_optimizer(spec, model, build_schedule(spec, schema.Train(epochs=1), 10))
        made.build(model.trainable_variables)
        following = build_averages(spec, model, made)

        def step(gradients, k, made=made, following=following):
            made.apply(gradients)
            for average in following:
                average.update(k)

        run, random = tf.function(step, jit_compile=True, autograph=False) if jit else step, np.random.default_rng(0)
        for k in range(4):
            gradients = [tf.constant(random.normal(size=v.shape), tf.float32) for v in model.trainable_variables]
            run(gradients, tf.constant(k, tf.int64))
        variables = [*model.trainable_variables, *made.variables[1:], *(v for a in following for v in a.variables)]
        found[jit] = [v.numpy() for v in variables]
    assert len(found[True]) > len(model.trainable_variables)
    for ours, xla in zip(found[False], found[True], strict=True):
        np.testing.assert_allclose(xla, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_survives_serialization(name):
    made = build_optimizer(schema.Optimizer(name=name, clip_norm=0.5), convolutional(), 0.01)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
    assert type(again) is type(made)
    assert again.get_config() == made.get_config()


def test_schedule_free_optimizer_refuses_other_averages():
    for key, value in {"ema": 0.9, "lookahead": 5}.items():
        with pytest.raises(
            RecipeError, match=rf"optimizer: {key} = {value} with optimizer.name = 'schedule_free_adamw.*leave {key}"
        ):
            catalog.load("resnet8_digits").change(
                **{"optimizer.name": "schedule_free_adamw(beta_1=0.95)", f"optimizer.{key}": value}
            )


def test_lion_with_zero_beta_1_is_refused():
    """Keras' class would raise a bare ValueError."""
    with pytest.raises(RecipeError, match="beta_1"):
        catalog.load("resnet8_digits").change(**{"optimizer.name": "lion(beta_1=0.0)"})


@pytest.mark.parametrize("name", ["sgd", "adamw", "lion", "muon"])
def test_layer_decay_scales_the_rate_by_depth(name):
    """Three weight layers: 0.25, 0.5 and 1; a norm has the depth of its convolution; decay is scaled as well."""
    moved = {}
    for layer_decay in (None, 0.5):
        keras.utils.set_random_seed(0)
        model = convolutional()
        spec = schema.Optimizer(name=name, layer_decay=layer_decay, decay="decoupled", weight_decay=0.1)
        made = build_optimizer(spec, model, 0.01)
        before = model.get_weights()
        gradients = [tf.ones(v.shape) * 0.1 for v in model.trainable_variables]
        made.apply(gradients, model.trainable_variables)
        moved[layer_decay] = [
            (new - old) for v, old, new in zip(model.weights, before, model.get_weights(), strict=True) if v.trainable
        ]
    ratios = [float(np.median(b / a)) for a, b in zip(moved[None], moved[0.5], strict=True)]
    np.testing.assert_allclose(ratios, [0.25] * 3 + [0.5] * 2 + [1.0], rtol=1e-2)


@pytest.mark.parametrize("name", ["adamw", "lamb", "lion", "muon", "schedule_free_adamw"])
def test_optimizer_trains_under_a_strategy_with_loss_scaling(name):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = convolutional()
        made = build_optimizer(schema.Optimizer(name=name), model, 0.001)
        model.compile(keras.optimizers.LossScaleOptimizer(made), "mse", jit_compile=False)
    random = np.random.default_rng(0)
    images, targets = random.normal(size=(16, 8, 8, 2)), random.normal(size=(16, 3))
    losses = model.fit(images, targets, batch_size=16, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_clip_norm_with_clip_value_is_refused():
    with pytest.raises(TrainingError, match=r"clip_norm = 1.0 and optimizer.clip_value = 2.0; leave one"):
        build_optimizer(schema.Optimizer(clip_norm=1.0, clip_value=2.0), convolutional(), 0.1)
