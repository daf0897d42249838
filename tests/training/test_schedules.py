"""One-cycle for short and long trainings, against PyTorch's values."""

from __future__ import annotations

import numpy as np
import pytest

from cnnrecipes import recipe
from cnnrecipes.training.schedules import schedule

# torch 2.13.0: o = torch.optim.SGD([p], lr=peak); s = torch.optim.lr_scheduler.OneCycleLR(o, max_lr=peak,
# total_steps=total, cycle_momentum=False); the first get_last_lr(), then after each of total - 1 s.step()
RECORDED = {
    (1, 0.1): [4e-07],
    (2, 0.1): [0.0811745654, 4e-07],
    (3, 0.1): [0.0994415435, 0.0462637103, 4e-07],
    (10, 0.1): [
        0.004, 0.052, 0.1, 0.0950484632, 0.0811745654, 0.0611262022, 0.0388741978, 0.0188258346, 0.0049519368, 4e-07,
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
def test_one_cycle_is_pytorchs_at_every_length(total, peak):
    made = schedule(recipe.Train(epochs=1, learning_rate=peak, schedule="one_cycle"), total)
    found = [float(made(step)) for step in range(total)]
    np.testing.assert_allclose(found, RECORDED[total, peak], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["cosine", "constant", "one_cycle"])
@pytest.mark.parametrize("warmup", ["0 epochs", "1 epoch", "25%", "7 steps"])
def test_a_rate_rises_to_its_peak_and_never_above(kind, warmup):
    warmup = "0 epochs" if kind == "one_cycle" else warmup
    made = schedule(recipe.Train(epochs=4, learning_rate=0.3, schedule=kind, warmup=warmup), 10)
    rates = np.array([float(made(step)) for step in range(40)])
    top = int(rates.argmax())
    assert rates.max() == pytest.approx(0.3, rel=1e-3)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) <= 1e-9).all()
    assert top == {"0 epochs": 11 if kind == "one_cycle" else 0, "1 epoch": 10, "25%": 10, "7 steps": 7}[warmup]
