"""Schedules against PyTorch and their formulas, eagerly, in graphs and under XLA; errors."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes.errors import RecipeError
from cnnrecipes.keras_optim.recipe_schedule import build_schedule
from cnnrecipes.optim.shortened_schedules import clipped
from cnnrecipes.recipe import schema

# torch 2.13.0: o = torch.optim.SGD([p], lr=peak); s = torch.optim.lr_scheduler.OneCycleLR(o, max_lr=peak,
# total_steps=total, cycle_momentum=False); the first get_last_lr(), then after each of total - 1 s.step()
RECORDED = {
    (1, 0.1): [4e-07],
    (2, 0.1): [0.0811745654, 4e-07],
    (3, 0.1): [0.0994415435, 0.0462637103, 4e-07],
    (10, 0.1): [
        0.004, 0.052, 0.1, 0.0950484632, 0.0811745654, 0.0611262022, 0.0388741978, 0.0188258346, 0.0049519368, 4e-07,
    ],
    (20, 0.4): [
        0.016, 0.0526687371, 0.148668737, 0.267331263, 0.363331263, 0.4, 0.394985602, 0.380193853, 0.356366471,
        0.324698262, 0.286777201, 0.244504809, 0.2000008, 0.155496791, 0.113224399, 0.0753033384, 0.043635129,
        0.0198077472, 0.00501599751, 1.6e-06,
    ],
    (37, 0.4): [
        0.016, 0.0252134834, 0.0519696805, 0.0937006981, 0.146401452, 0.205014052, 0.263913225, 0.317446194,
        0.360475197, 0.388870579, 0.399907126, 0.398809438, 0.394712108, 0.387753508, 0.378035895, 0.365702067,
        0.35093327, 0.33394653, 0.314991466, 0.294346622, 0.272315372, 0.249221465, 0.225404262, 0.201213758,
        0.177005429, 0.153135016, 0.129953292, 0.107800912, 0.0870034032, 0.0678663839, 0.0506710712, 0.0356701492,
        0.0230840555, 0.0130977418, 0.0058579565, 0.00147108763, 1.6e-06,
    ],
}  # fmt: skip


@pytest.mark.parametrize(("total", "peak"), RECORDED)
def test_one_cycle_matches_pytorch_at_every_length(total, peak):
    made = build_schedule(schema.Optimizer(learning_rate=peak, schedule="one_cycle"), schema.Train(epochs=1), total)
    found = [float(made(step)) for step in range(total)]
    np.testing.assert_allclose(found, RECORDED[total, peak], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["cosine", "constant", "one_cycle"])
@pytest.mark.parametrize("warmup", ["0 epochs", "1 epoch", "25%", "7 steps"])
def test_rate_rises_to_its_peak_and_then_falls(kind, warmup):
    warmup = "0 epochs" if kind == "one_cycle" else warmup
    made = build_schedule(schema.Optimizer(learning_rate=0.3, schedule=kind, warmup=warmup), schema.Train(epochs=4), 10)
    rates = np.array([float(made(step)) for step in range(40)])
    top = int(rates.argmax())
    assert rates.max() == pytest.approx(0.3, rel=1e-3)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) <= 1e-9).all()
    assert top == {"0 epochs": 11 if kind == "one_cycle" else 0, "1 epoch": 10, "25%": 10, "7 steps": 7}[warmup]


# torch 2.13.0: o = torch.optim.SGD([p], lr=0.4); 12 times o.param_groups[0]["lr"], o.step(), s.step() with s as named
TORCH = {
    # StepLR(o, 5, 0.1)
    "step('5 steps', 0.1)": [0.4] * 5 + [0.04] * 5 + [0.004] * 2,
    # MultiStepLR(o, [3, 9], 0.2)
    "multi_step(['1 epoch', '75%'], 0.2)": [0.4] * 3 + [0.08] * 6 + [0.016] * 3,
    # ExponentialLR(o, 0.9)
    "exponential('1 step', 0.9)": [
        0.4, 0.36, 0.324, 0.2916, 0.26244, 0.236196, 0.2125764, 0.19131876, 0.172186884, 0.154968196, 0.139471376,
        0.125524238,
    ],
    # PolynomialLR(o, 12, 2.0)
    "polynomial(2.0)": [
        0.4, 0.336111111, 0.277777778, 0.225, 0.177777778, 0.136111111, 0.1, 0.069444444, 0.044444444, 0.025,
        0.011111111, 0.002777778,
    ],
    # CosineAnnealingWarmRestarts(o, 4, 2, eta_min=0.04)
    "warm_restarts('4 steps', 2.0, floor=0.1)": [
        0.4, 0.347279221, 0.22, 0.092720779, 0.4, 0.386298316, 0.347279221, 0.288883018, 0.22, 0.151116982,
        0.092720779, 0.053701684,
    ],
    # CosineAnnealingLR(o, 12, eta_min=0.04)
    "cosine(floor=0.1)": [
        0.4, 0.393866649, 0.375884573, 0.347279221, 0.31, 0.266587428, 0.22, 0.173412572, 0.13, 0.092720779,
        0.064115427, 0.046133351,
    ],
}  # fmt: skip


def rates(total_epochs=4, steps=3, batch_size=256, n=None, **optimizer):
    made = build_schedule(
        schema.Optimizer(**{"learning_rate": 0.4, **optimizer}), schema.Train(epochs=total_epochs), steps, batch_size
    )
    return np.array([float(made(step)) for step in range(n or total_epochs * steps)])


@pytest.mark.parametrize("text", TORCH)
def test_schedule_matches_pytorch(text):
    np.testing.assert_allclose(rates(schedule=text), TORCH[text], rtol=2e-6)


def test_cosine_schedule_with_warmup_matches_its_formula():
    found = rates(10, 10, learning_rate=0.4, warmup="20%", n=101)
    steps = np.arange(101)
    falling = 0.2 * (1 + np.cos(np.pi * (steps - 20) / 80))
    np.testing.assert_allclose(found, np.where(steps < 20, 0.4 * (steps + 1) / 21, falling), atol=1e-6)


def test_constant_schedule_stays_constant_after_warmup():
    found = rates(10, 10, learning_rate=0.4, schedule="constant", warmup="10 steps")
    np.testing.assert_allclose(found, np.minimum((np.arange(100) + 1) / 11, 1) * 0.4, atol=1e-6)


def test_trapezoid_rises_holds_and_falls_linearly():
    found = rates(10, 10, schedule="trapezoid('20%', floor=0.5)", warmup="10 steps")
    step = np.arange(100)
    expected = np.minimum(np.minimum((step + 1) / 11, 1), 0.5 + 0.5 * np.minimum((100 - step) / 20, 1))
    np.testing.assert_allclose(found, 0.4 * expected, rtol=1e-6)


def test_warm_restarts_begin_at_the_peak():
    """Including lengths that are no exact powers for a logarithm."""
    found = rates(50, 1, schedule="warm_restarts('3 steps', 1.5)", warmup="2 steps")
    starts = [2, 5, 9, 16, 26, 41]  # 3, 4 (4.5, rounded to even), 7, 10, 15 steps long
    np.testing.assert_allclose(found[starts], 0.4, rtol=1e-6)
    assert (np.diff(found)[[s - 1 for s in starts[1:]]] > 0).all()
    assert (np.diff(found) > 0).sum() == 2 + len(starts) - 1


@pytest.mark.parametrize(("scale", "factor"), [("none", 1), ("linear", 4), ("sqrt", 2)])
def test_peak_scales_with_the_batch_size(scale, factor):
    assert rates(scale_rate=scale, batch_size=1024).max() == pytest.approx(0.4 * factor)


def test_plateau_lowers_the_rate_down_to_the_floor():
    made = build_schedule(
        schema.Optimizer(learning_rate=0.4, schedule="plateau(3, 0.1, floor=0.05)"), schema.Train(epochs=4), 3
    )
    seen = [float(made(5))]
    for _ in range(3):
        made.lower()
        seen.append(float(made(5)))
    np.testing.assert_allclose(seen, [0.4, 0.04, 0.02, 0.02], rtol=1e-6)


@pytest.mark.parametrize("kind", ["stretch", "restart", "constant"])
def test_extension_continues_from_its_epoch(kind):
    value = ", 0.01" if kind == "constant" else ""
    longer = {"total_epochs": 10, "steps": 5, "warmup": "1 epoch"}
    found = rates(**longer, extensions=[f"{kind}(4{value})"])
    np.testing.assert_allclose(found[:20], rates(4, 5, warmup="1 epoch"), rtol=1e-6)
    expected = {
        "stretch": rates(**longer)[20:],
        "restart": rates(6, 5, warmup="1 epoch"),
        "constant": np.full(30, 0.01),
    }[kind]
    np.testing.assert_allclose(found[20:], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("warmup", ["1 step", "2 steps", "5%", "1 epoch"])
def test_first_warmup_step_has_a_positive_rate(warmup):
    """At a rate of 0 its gradient would be wasted."""
    found = rates(8, 10, warmup=warmup)
    steps = {"1 step": 1, "2 steps": 2, "5%": 4, "1 epoch": 10}[warmup]
    np.testing.assert_allclose(found[: steps + 1], 0.4 * np.arange(1, steps + 2) / (steps + 1), rtol=1e-6)


@pytest.mark.parametrize("text", ["cosine", "multi_step(['6 epochs', '8 epochs'])", "trapezoid('4 epochs')"])
def test_extension_after_early_stopping_scales_the_planned_schedule(text):
    """Planned for 10 epochs with 5 of warmup, stopped after 2, and trained for 1 more."""
    train = {"schedule": text, "warmup": "5 epochs"}
    found = rates(3, 20, **train, extensions=["restart(2, planned=10)"])
    np.testing.assert_allclose(found[:40], rates(10, 20, **train)[:40], rtol=1e-6)
    # A tenth of the planned training: every length is a tenth.
    tenth = {"cosine": "cosine", "trapezoid('4 epochs')": "trapezoid('0.4 epochs')"}
    again = {"schedule": tenth.get(text, "multi_step(['0.6 epochs', '0.8 epochs'])"), "warmup": "0.5 epochs"}
    np.testing.assert_allclose(found[40:], rates(1, 20, **again), rtol=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ({"warmup": "400 steps"}, {"optimizer.warmup": "10%"}),
        ({"warmup": "5 steps"}, {}),
        ({"schedule": "multi_step(['7 steps', '30 steps'], 0.3)"},
         {"optimizer.schedule": "multi_step(milestones=['7 steps'], factor=0.3)"}),
        ({"schedule": "multi_step(['30 steps', '40 steps'])"}, {"optimizer.schedule": "constant"}),
        ({"schedule": "multi_step(['1%', '50%'])"}, {"optimizer.schedule": "multi_step(milestones=['50%'])"}),
    ],
)  # fmt: skip
def test_lengths_that_do_not_fit_a_short_training_are_clipped(optimizer, expected):
    assert clipped(schema.Optimizer(**optimizer), schema.Train(epochs=4), 3) == expected
    fitting = {key.removeprefix("optimizer."): value for key, value in expected.items()}
    assert len(rates(**{**optimizer, **fitting})) == 12


def test_schedule_survives_serialization():
    made = build_schedule(schema.Optimizer(schedule="step('1 epoch')", warmup="2 steps"), schema.Train(epochs=4), 3)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(made))
    assert [float(again(i)) for i in range(12)] == [float(made(i)) for i in range(12)]


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ({"warmup": "4 epochs"}, r"optimizer.warmup = '4 epochs' is 12 steps of a training of 12; make it shorter"),
        ({"schedule": "one_cycle", "warmup": "1 epoch"}, "one_cycle, which has its own"),
        ({"schedule": "step('9 epochs')"}, r"every = '9 epochs' is 27 steps of a training of 12"),
        ({"schedule": "step('0.1 epochs')"}, "less than a step"),
        ({"schedule": "multi_step(['2 epochs', '5 epochs'])"}, r"milestone.* = '5 epochs' is 15 steps"),
        ({"schedule": "multi_step(['75%', '6 steps'])"}, r"at steps \[9, 6\]; give them in increasing order"),
        ({"schedule": "trapezoid('80%')", "warmup": "1 epoch"}, "warm-up of 3 steps and a cooldown of 10 do not fit"),
        ({"schedule": "warm_restarts('13 steps')"}, "13 steps"),
        ({"extensions": ["restart(4)"]}, "raise train.epochs above 4"),
    ],
)
def test_invalid_schedule_is_refused(optimizer, words):
    with pytest.raises(RecipeError, match=words):
        rates(**optimizer)


def in_every_mode(function):
    """A function of a tensor of steps, by execution mode: eager, graph, and compiled by XLA."""
    graph = {jit: tf.function(function, jit_compile=jit, autograph=False) for jit in (False, True)}
    return {"eager": function, "graph": graph[False], "xla": graph[True]}


# Where k * every times the float32 nearest to 1 / every is below k for one of k = 1, 2, 3, 4: these drops are late
# in a graph that divides float32 steps, as TensorFlow makes the division a multiplication.
AT_RISK = [
    every
    for every in range(2, 400)
    if any(np.floor(np.float32(k * every) * (np.float32(1) / np.float32(every))) < k for k in (1, 2, 3, 4))
]


@pytest.mark.parametrize(("mode", "intervals"), [("eager", range(2, 400)), ("graph", range(2, 400)), ("xla", AT_RISK)])
def test_step_schedule_drops_at_the_exact_step_in_every_mode(mode, intervals):
    """The steps before, at and after each of four drops; for every interval, under XLA for those at risk."""
    drops = np.array([[k * every for k in (1, 2, 3, 4)] for every in intervals])
    steps = np.concatenate([drops - 1, drops, drops + 1], axis=1)
    made = [
        build_schedule(
            schema.Optimizer(learning_rate=0.4, schedule=f"step('{every} steps', 0.1)"), schema.Train(epochs=5), every
        )
        for every in intervals
    ]

    def rates_of(steps):
        return tf.stack([one(row) for one, row in zip(made, tf.unstack(steps), strict=True)])

    found = in_every_mode(rates_of)[mode](tf.constant(steps))
    np.testing.assert_allclose(found, 0.4 * 0.1 ** (steps // np.array(intervals)[:, None]), rtol=1e-5)


def half_cosine(start, end, share):
    return end + (start - end) * (1 + np.cos(np.pi * np.clip(share, 0, 1))) / 2


# The share of the peak at step s of a training of n steps with a warmup of w, in float64.
FORMULAS = {
    "constant": lambda s, n, w: np.ones_like(s),
    "cosine(floor=0.1)": lambda s, n, w: half_cosine(1, 0.1, (s - w) / (n - w)),
    "step('9 steps', 0.5)": lambda s, n, w: 0.5 ** (s // 9),
    "multi_step(['7 steps', '31 steps', '50%'], 0.2)": lambda s, n, w: (
        0.2 ** sum((s >= m).astype(float) for m in (7, 31, round(n / 2)))
    ),
    "polynomial(0.3)": lambda s, n, w: np.clip((n - s) / (n - w), 0, 1) ** 0.3,
    "exponential('7 steps', 0.9)": lambda s, n, w: 0.9 ** ((s - w) / 7),
    "trapezoid('20 steps')": lambda s, n, w: np.clip((n - s) / 20, 0, 1),
    "warm_restarts('11 steps', 1.0)": lambda s, n, w: half_cosine(1, 0, ((s - w) % 11) / 11),
}


@pytest.mark.parametrize("text", FORMULAS)
def test_boundaries_are_exact_in_every_mode(text):
    """At each step of trainings of several lengths, with and without warmup, up to the step after the last."""
    cases = [(epochs, warmup) for epochs in (10, 23, 41) for warmup in (0, 5)]
    made = [
        build_schedule(
            schema.Optimizer(learning_rate=0.4, schedule=text, warmup=f"{w} steps"), schema.Train(epochs=n), 7
        )
        for n, w in cases
    ]
    steps = [np.arange(7 * n + 1) for n, _ in cases]
    expected = [
        0.4 * np.where(s < w, (s + 1) / (w + 1), FORMULAS[text](s, 7 * n, w))
        for s, (n, w) in zip(steps, cases, strict=True)
    ]

    def rates_of(steps):
        return tf.concat([one(row) for one, row in zip(made, tf.split(steps, sizes), strict=True)], axis=0)

    sizes = [len(s) for s in steps]
    for mode, function in in_every_mode(rates_of).items():
        found = function(tf.constant(np.concatenate(steps)))
        np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-5, atol=1e-7, err_msg=mode)


@pytest.mark.parametrize("kind", ["stretch", "restart", "constant"])
def test_extension_begins_at_the_exact_step_in_every_mode(kind):
    value = ", 0.01" if kind == "constant" else ""
    spec = schema.Optimizer(learning_rate=0.4, schedule="step('7 steps')", extensions=[f"{kind}(4{value})"])
    made, s = build_schedule(spec, schema.Train(epochs=9), 7), np.arange(63)
    after = {"stretch": 0.4 * 0.1 ** (s // 7), "restart": 0.4 * 0.1 ** ((s - 28) // 7), "constant": np.full(63, 0.01)}
    expected = np.where(s < 28, 0.4 * 0.1 ** (s // 7), after[kind])
    for mode, function in in_every_mode(made).items():
        np.testing.assert_allclose(function(tf.constant(s)), expected, rtol=1e-5, err_msg=mode)


def test_one_cycle_is_the_same_in_every_mode():
    made = build_schedule(schema.Optimizer(learning_rate=0.4, schedule="one_cycle"), schema.Train(epochs=1), 37)
    for mode, function in in_every_mode(made).items():
        found = function(tf.range(37, dtype=tf.int64))
        np.testing.assert_allclose(found, RECORDED[37, 0.4], rtol=1e-4, atol=1e-7, err_msg=mode)


def test_time_budget_position_is_rounded_down_to_whole_steps():
    """A drop happens at a step, not between two."""
    made = build_schedule(
        schema.Optimizer(learning_rate=0.4, schedule="step('3 steps')"), schema.Train(epochs=4, time_budget="1 min"), 3
    )
    found = []
    for position in (0.0, 2.9, 3.0, 5.5, 6.25):
        made.position.assign(position)
        found.append(float(tf.function(made)(tf.constant(0, tf.int64))))
    np.testing.assert_allclose(found, [0.4, 0.4, 0.04, 0.04, 0.004], rtol=1e-5)
