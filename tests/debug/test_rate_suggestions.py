"""Suggestions of learning rates, on curves whose answers are known, and the test whether a curve is informative."""

from __future__ import annotations

import numpy as np
import pytest

from cnnrecipes.debug.loss_smoothing import bandwidth_of, running_median, smooth
from cnnrecipes.debug.rate_plot import plot_sweep
from cnnrecipes.debug.rate_suggestions import TAKES, has_diverged, read_curves, suggest, until_infinite, valley
from cnnrecipes.debug.rate_sweep import RateSweep

RATES = np.geomspace(1e-6, 10, 141)  # 20 steps a decade
LOGS = np.log10(RATES)


def fall(middle: float = -2.0, depth: float = 1.0, width: float = 1.0, diverges: float = 0.0) -> np.ndarray:
    """A loss that falls along a sigmoid of the logarithm of the rate, and rises steeply from `diverges` on."""
    return 2.3 - depth / (1 + np.exp(-4 / width * (LOGS - middle))) + np.exp(8 * (LOGS - diverges))


def cut(losses: np.ndarray) -> np.ndarray:
    """The losses of a sweep that ends where it diverges; NaN behind."""
    end = next((i for i in range(1, len(losses)) if has_diverged(losses[:i])), len(losses))
    return np.where(np.arange(len(losses)) < end, losses, np.nan)


def noisy(losses: np.ndarray, noise: float, seeds: int = 3, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.stack([cut(losses + noise * random.standard_normal(len(losses))) for _ in range(seeds)])


def fastai_valley(losses) -> int:
    """fastai's algorithm by its description: the longest falling subsequence by dynamic programming, in O(n^2)."""
    lengths = [1] * len(losses)
    end = 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and lengths[i] < lengths[j] + 1:
                lengths[i] = lengths[j] + 1
            if lengths[end] < lengths[i]:
                end = i
    start = end - lengths[end]
    third = (end - start) / 3
    return max(start + int(third) + int(third / 2), 0)


@pytest.mark.parametrize("seed", range(20))
def test_valley_is_that_of_fastai(seed):
    random = np.random.default_rng(seed)
    losses = random.standard_normal(80).cumsum() if seed % 2 else fall() + random.standard_normal(len(RATES))
    if seed > 15:
        losses = losses.round()  # equal losses do not fall
    assert valley(losses) == fastai_valley(losses)


def test_valley_of_a_straight_fall_is_its_middle():
    losses = np.concatenate([np.full(40, 2.0), np.linspace(1.9, 1.0, 60), np.linspace(1.1, 9.0, 41)])
    assert valley(losses) == pytest.approx(40 + 60 / 2, abs=2)


def test_suggestions_of_a_known_curve():
    losses = fall(middle=-2.0, diverges=0.5)
    found = suggest(RATES, losses, 2.3)
    # The logistic function has 10% and 90% at -+ log(9) / 4 decades; the divergence lowers the end a little.
    assert np.log10(found.steepest) == pytest.approx(-2.0, abs=0.051)
    assert np.log10(found.low) == pytest.approx(-2.0 - np.log(9) / 4, abs=0.06)
    assert np.log10(found.high) == pytest.approx(-2.0 + np.log(9) / 4, abs=0.06)
    lowest = LOGS[np.argmin(losses)]
    assert np.log10(found.minimum_tenth) == pytest.approx(lowest - 1)
    assert np.log10(found.valley) == pytest.approx((np.log10(found.low) + lowest) / 2, abs=0.11)


def test_steepest_is_by_the_logarithm_of_the_rate():
    # Per rate, a fall is steepest where the rates are small: at 1e-4, although that fall is a hundredth of the other.
    losses = 2.0 - 0.02 / (1 + np.exp(-8 * (LOGS + 4))) - 1 / (1 + np.exp(-8 * (LOGS + 1)))
    assert RATES[np.argmin(np.gradient(losses, RATES))] < 1e-3
    assert suggest(RATES, losses, 2.0).steepest == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1])
def test_reading_finds_the_fall_in_noise(noise):
    found = read_curves(RATES, noisy(fall(diverges=0.5), noise))
    assert found.problem == found.remark == ""
    assert np.log10(found.suggestions.steepest) == pytest.approx(-2.0, abs=0.25)
    assert np.log10(found.suggestions.valley) == pytest.approx(-1.8, abs=0.25)
    for take in TAKES:
        lowest, highest = found.spread(take)
        assert lowest <= 1.5 * found.suggestions.of(take)
        assert highest >= found.suggestions.of(take) / 1.5
    assert found.fall == pytest.approx(1.0, abs=0.1)


def test_early_spikes_change_nothing():
    """Lightning#1767: a high loss in the first steps was the steepest fall."""
    losses = noisy(fall(diverges=0.5), 0.05)
    spiked = losses.copy()
    spiked[:, :2], spiked[:, 11] = 50.0, 20.0
    assert not has_diverged(spiked[0][:12])
    plain, found = (read_curves(RATES, one).suggestions for one in (losses, spiked))
    for name, value in vars(plain).items():
        assert getattr(found, name) == pytest.approx(value, rel=0.15), name


def test_high_start_of_ten_steps_is_not_the_fall():
    losses = noisy(fall(diverges=0.5), 0.05)
    losses[:, :10] += np.linspace(3, 0, 10)
    found = read_curves(RATES, losses)
    assert np.log10(found.suggestions.steepest) == pytest.approx(-2.0, abs=0.25)
    assert np.log10(found.suggestions.valley) == pytest.approx(-1.8, abs=0.25)


@pytest.mark.parametrize("end", [np.nan, np.inf])
def test_tail_behind_nan_is_dropped(end):
    """fastai#3477: NaN losses gave a suggestion at the first rate, or an error."""
    losses = np.tile(fall(diverges=9.0), (3, 1))
    losses[:, 110:] = end
    losses[0, 60] = end  # one seed of three does not end the median
    found = read_curves(RATES, losses)
    assert len(found.median) == 110
    assert np.log10(found.suggestions.steepest) == pytest.approx(-2.0, abs=0.1)
    assert len(until_infinite(losses[0])) == 60


@pytest.mark.parametrize("seeds", [1, 3])
def test_flat_curves_are_uninformative(seeds):
    flat = np.full(len(RATES), 2.3) + np.exp(8 * LOGS)
    passed = [read_curves(RATES, noisy(flat, 0.1, seeds, seed)).suggestions is not None for seed in range(100)]
    assert sum(passed) <= 3
    problem = read_curves(RATES, noisy(flat, 0.1, seeds)).problem
    assert "uninformative" in problem
    assert "within the noise (standard error 0.0" in problem
    assert "above the one at the start from learning rate" in problem
    assert "--grid" in problem


@pytest.mark.parametrize(("depth", "found"), [(0.05, False), (0.5, True)])
def test_a_fall_must_exceed_the_noise(depth, found):
    assert (read_curves(RATES, noisy(fall(depth=depth, diverges=0.5), 0.2)).suggestions is not None) is found


def test_problems_name_the_end_of_the_range_to_move():
    few = np.full((3, len(RATES)), np.nan)
    few[:, :6] = 2.3
    assert read_curves(RATES, few).problem.endswith("begins too high. Set a lower --low.")
    assert "set a higher --high" in read_curves(RATES, noisy(fall(middle=1.0, diverges=9), 0.01)).problem
    flat = np.full(len(RATES), 2.3)
    assert read_curves(RATES, noisy(flat, 0.1)).problem.endswith("Set a higher --high.")
    begun = noisy(fall(middle=-5.8, diverges=-3), 0.01)
    assert "a lower --low would show the whole fall" in read_curves(RATES, begun).remark


def test_divergence_is_above_the_start_too():
    falling = np.linspace(2.3, 0.1, 50)
    assert not has_diverged(np.concatenate([falling, np.full(5, 0.5)]))  # 5 times the lowest
    assert has_diverged(np.concatenate([falling, np.full(5, 2.4)]))
    assert not has_diverged(np.concatenate([falling, [30.0, 30.0]]))  # two spikes
    assert has_diverged(np.concatenate([falling, [np.nan]]))


def test_smoothing_is_exact_on_lines_and_has_no_lag():
    line = 3 - 0.02 * np.arange(100)
    np.testing.assert_allclose(smooth(line, 3.0).values, line, atol=3e-2)  # the running median's ends are flat
    np.testing.assert_allclose(smooth(line, 3.0).values[8:-8], line[8:-8], atol=1e-3)
    step = (np.arange(101) < 50).astype(float)
    assert np.argmin(np.diff(smooth(step, bandwidth_of(100)).values)) in (48, 49, 50)


def test_noise_and_standard_error_are_those_of_repeated_curves():
    random = np.random.default_rng(0)
    curves = [smooth(2 + 0.3 * random.standard_normal(100), bandwidth_of(100)) for _ in range(400)]
    assert np.median([curve.noise for curve in curves]) == pytest.approx(0.3, rel=0.15)
    middle = np.std([curve.values[50] for curve in curves])
    errors = [0.3 * np.sqrt(np.pi / 2) * np.linalg.norm(curve.weights[50]) for curve in curves]
    assert middle == pytest.approx(errors[0], rel=0.2)


def test_running_median_keeps_full_windows_at_the_ends():
    assert running_median(np.array([9.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0])).tolist() == [3, 3, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("take", TAKES)
def test_the_taken_suggestion_is_the_answer(take):
    swept = RateSweep("digits", 0.1, RATES, noisy(fall(diverges=0.5), 0.05), 64, 1.0, take=take)
    found = swept.reading.suggestions
    assert swept.suggested == float(f"{found.of(take):.2g}")
    text = str(swept)
    assert text.startswith(f"Suggested learning rate: {swept.suggested:.2g} ({TAKES[take][1]}; ")
    for other in set(TAKES) - {take}:
        assert f"{TAKES[other][1]} {found.of(other):.2g}" in text
    assert ("Try upward within the range" in text) is (take != "high")


def test_a_rate_that_does_not_decay_is_named():
    swept = RateSweep("digits", 0.1, RATES, noisy(fall(diverges=0.5), 0.05), 64, 1.0, take="valley", decays=False)
    assert str(swept).endswith("with optimizer.schedule=cosine, higher rates usually train better.")


@pytest.mark.parametrize("count", [1, 5, 60])
def test_curves_of_any_length_are_plotted(count, tmp_path):
    losses = noisy(fall(diverges=0.5), 0.05)
    losses[:, count:] = np.nan
    figure = plot_sweep(RateSweep("digits", 0.1, RATES, losses, 64, 1.0), path=tmp_path / "rates.png")
    assert (tmp_path / "rates.png").stat().st_size > 10_000
    assert figure.axes[0].get_xlim()[1] == pytest.approx(RATES[max(count - 1, 1)])
