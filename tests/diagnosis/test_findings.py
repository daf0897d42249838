"""Every finding on histories with its shape, and on those of its nearest alternative."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from training_curves import evidence, exponential, healthy, history, predictions, recipe

from cnnrecipes.diagnosis.diagnosis import diagnosed
from cnnrecipes.diagnosis.evidence import LayerRecord, NonFiniteLoss
from cnnrecipes.diagnosis.history import History

EPOCHS = 20


def verdict(curves, **options) -> str:
    return diagnosed(evidence(curves, **options)).verdict


def causes(curves, **options) -> set[str]:
    return {one.cause for one in diagnosed(evidence(curves, **options)).findings}


def test_healthy_training_has_no_warning():
    found = diagnosed(evidence(healthy()))
    assert found.verdict == "healthy"
    assert found.ok
    assert "99." in found.sentence or "98." in found.sentence


def overfitted(turn: int) -> History:
    """Training to 100%; the validation loss rises after the epoch `turn`."""
    val_loss = np.concatenate([np.linspace(2.0, 1.0, turn), 1.0 + 0.08 * np.arange(1, EPOCHS - turn + 1)])
    accuracy = np.concatenate([np.linspace(0.3, 0.65, turn), np.full(EPOCHS - turn, 0.65)])
    return history(exponential(2.0, 0.01, 0.3, EPOCHS), exponential(0.3, 1.0, 0.3, EPOCHS), val_loss, accuracy)


@pytest.mark.parametrize("turn", [6, 9, 12])
def test_overfitting_names_the_epoch_of_the_lowest_validation_loss(turn):
    found = diagnosed(evidence(overfitted(turn)))
    assert found.verdict == "overfitting"
    epoch = int(found.findings[0].title.rpartition(" ")[2])
    assert abs(epoch - turn) <= 1


def test_overfitting_remedies_start_with_augmentation_and_name_the_value_now():
    remedies = diagnosed(evidence(overfitted(8), image_size=(32, 32))).findings[0].remedies
    assert remedies[0].change == """augment.ops='["pad_crop(4)", "flip_lr"]'"""
    assert any(one.change == "optimizer.weight_decay=0.0025" and "now 0.0005" in one.why for one in remedies)


def test_paragraph_without_remedies_has_all_findings():
    """The report lists the remedies below it."""
    found = diagnosed(evidence(overfitted(8)))
    before, _, after = str(found).partition(" Try next, in this order: (1) ")
    assert found.findings[0].remedies[0].change in after
    assert found.without_remedies.startswith(before)
    assert "Try next" not in found.without_remedies


def test_gap_within_the_noise_of_few_images_is_not_overfitting():
    curves = history(
        exponential(2, 0.1, 0.4, EPOCHS), exponential(0.3, 0.97, 0.4, EPOCHS), exponential(2, 0.4, 0.4, EPOCHS), 0.85
    )
    assert verdict(curves, validation_images=20) == "validation_too_small"
    assert verdict(curves, validation_images=2000) == "overfitting"


def test_training_in_inference_mode_replaces_the_accuracy_under_augmentation():
    curves = history(
        exponential(2, 1.0, 0.4, EPOCHS), exponential(0.3, 0.7, 0.4, EPOCHS), exponential(2, 1.2, 0.4, EPOCHS), 0.6
    )
    assert verdict(curves) == "underfitting"
    clean = predictions([100] * 10, [100] * 10, [98] * 10)
    held_out = predictions([100] * 10, [100] * 10, [60] * 10)
    assert verdict(curves, train=clean, validation=held_out) == "overfitting"


def test_flat_loss_at_a_bad_fit_is_underfitting():
    curves = history(
        exponential(1.9, 1.2, 0.8, EPOCHS),
        exponential(0.3, 0.58, 0.8, EPOCHS),
        exponential(1.9, 1.2, 0.8, EPOCHS),
        exponential(0.3, 0.57, 0.8, EPOCHS),
    )
    assert verdict(curves) == "underfitting"


def test_short_training_is_told_apart_from_underfitting():
    curves = history([1.9, 1.3, 0.9], [0.3, 0.5, 0.68], [1.6, 1.1, 0.8], [0.4, 0.6, 0.7])
    assert verdict(curves, recipe=recipe(**{"train.epochs": 3})) == "too_few_epochs"


def test_one_epoch_says_that_trends_cannot_be_told():
    curves = history([1.9], [0.3], [1.7], [0.4])
    found = diagnosed(evidence(curves, recipe=recipe(**{"train.epochs": 1})))
    assert found.verdict == "too_few_epochs"
    assert any("one epoch" in text for text in found.cannot_tell)


@pytest.mark.parametrize("factor", [1e-3, 1e-2])
def test_slow_steady_fall_at_a_tiny_rate_is_a_rate_too_low(factor):
    rate = 0.1 * factor
    curves = history(
        np.linspace(2.4, 2.1, EPOCHS), np.linspace(0.1, 0.25, EPOCHS), np.linspace(2.4, 2.15, EPOCHS), 0.22, rate
    )
    found = diagnosed(evidence(curves, recipe=recipe(**{"optimizer.learning_rate": rate})))
    assert found.verdict == "rate_too_low"
    assert float(found.findings[0].remedies[0].change.rpartition("=")[2]) == pytest.approx(rate * min(1 / factor, 1000))


def test_loss_stuck_at_chance_at_a_huge_rate_is_a_rate_too_high():
    curves = history([9.0, 2.5, 2.35, 2.31, 2.3, 2.3], 0.1, 2.31, 0.1, 10.0)
    assert verdict(curves, recipe=recipe(**{"optimizer.learning_rate": 10.0})) == "rate_too_high"


def test_loss_stuck_at_chance_at_a_usual_rate_is_not_blamed_on_the_rate():
    found = diagnosed(evidence(history([2.31, 2.303, 2.303, 2.303, 2.303], 0.1, 2.303, 0.1, 0.1)))
    assert found.verdict == "not_learning"
    assert not found.ok
    assert found.findings[0].remedies[0].change.startswith("cnnrecipes overfit")


def test_learning_that_starts_when_the_rate_falls_is_a_rate_too_high():
    loss = np.array([2.9, 2.35, 2.32, 2.3, 2.31, 2.3, 2.1, 1.9, 1.75, 1.7])
    accuracy = np.array([0.1] * 6 + [0.2, 0.28, 0.33, 0.35])
    assert verdict(history(loss, accuracy, loss, accuracy)) == "rate_too_high"


def test_update_ratios_of_the_watch_are_evidence_of_the_rate():
    slow = history(np.linspace(2.3, 1.9, 10), np.linspace(0.1, 0.3, 10), np.linspace(2.3, 1.9, 10), 0.3, 0.1)
    layers = tuple(LayerRecord(f"conv{i}", 0.0, 1e-6, 1.0) for i in range(3))
    found = diagnosed(evidence(slow, layers=layers))
    assert found.verdict == "rate_too_low"
    assert any("1.0e-06 of their norm" in fact for fact in found.findings[0].evidence)


def test_small_updates_at_the_end_of_a_schedule_are_no_evidence_of_a_low_rate():
    """ResNet-20 on CIFAR-10 for two epochs of a cosine schedule, whose last rate is 5e-6 of its peak."""
    curves = history([1.452, 1.025], [0.464, 0.632], [1.280, 0.918], [0.542, 0.668], [0.05, 5e-7])
    layers = tuple(LayerRecord(f"conv{i}", 0.0, 4.3e-6, 1.0) for i in range(3))
    assert "rate_too_low" not in causes(curves, layers=layers)
    constant = history([1.452, 1.025], [0.464, 0.632], [1.280, 0.918], [0.542, 0.668], 0.05)
    assert "rate_too_low" in causes(constant, layers=layers)


def test_nan_is_a_divergence_that_names_the_step_even_before_the_first_epoch_ended():
    failure = NonFiniteLoss(epoch=1, step=7, loss="nan", learning_rate=10.0)
    found = diagnosed(evidence(History.of([]), failure=failure, recipe=recipe(**{"optimizer.learning_rate": 10.0})))
    assert found.verdict == "divergence"
    assert not found.ok
    assert "step 7 (epoch 1)" in str(found)
    assert found.findings[0].remedies[0].change == "optimizer.learning_rate=0.1"


def test_exploded_loss_is_a_divergence_and_not_other_findings():
    curves = history([2.0, 1.5, 1.2, 8.0, 40.0, 60.0], [0.3, 0.5, 0.6, 0.3, 0.1, 0.1], 50.0, 0.1)
    found = diagnosed(evidence(curves))
    assert [one.cause for one in found.findings if one.severity != "note"] == ["divergence"]
    assert "since epoch 3" in found.findings[0].title


def test_constant_rate_and_flat_loss_is_a_plateau():
    loss = exponential(2.0, 0.8, 1.0, EPOCHS) + 0.01 * np.cos(np.arange(EPOCHS) * 2.5)
    curves = history(loss, exponential(0.3, 0.74, 1.0, EPOCHS), loss, exponential(0.3, 0.72, 1.0, EPOCHS), 0.1)
    found = diagnosed(evidence(curves, recipe=recipe(**{"optimizer.schedule": "constant"})))
    assert found.verdict == "plateau"
    assert found.findings[0].remedies[0].change == "optimizer.schedule=cosine"


@pytest.mark.parametrize("running", [False, True])
def test_a_rate_that_fell_too_early_is_a_plateau(running):
    """Neither the rate, the size of the network nor the augmentation is to blame if most epochs had no rate."""
    rate = np.where(np.arange(EPOCHS) < 2, 0.1, 1e-5)
    curves = history(exponential(2.2, 1.5, 1.0, EPOCHS), exponential(0.2, 0.45, 1.0, EPOCHS), 1.5, 0.6, rate)
    found = diagnosed(evidence(curves, recipe=recipe(**{"augment.ops": ["flip_lr"]}), running=running))
    assert [one.cause for one in found.findings] == ["plateau"]
    assert found.findings[0].title == "a plateau since epoch 3: the learning rate fell too early"
    assert found.findings[0].remedies[0].change == "optimizer.schedule=cosine"


def test_usual_schedules_do_not_fall_too_early():
    steps = np.arange(1, 31)
    cosine, milestones = 0.05 * (1 + np.cos(np.pi * steps / 30)), 0.1 ** (1.0 + (steps > 15) + (steps > 22))
    for rate in (cosine, milestones, np.full(30, 0.1)):
        curves = history(exponential(2.2, 0.9, 0.3, 30), exponential(0.2, 0.7, 0.3, 30), 1.0, 0.68, rate)
        assert "too early" not in str(diagnosed(evidence(curves)))


@pytest.mark.parametrize(("schedule", "told"), [("cosine", False), ("constant", True)])
def test_noise_is_told_live_only_if_the_rate_will_not_fall(schedule, told):
    accuracy = 0.85 + 0.08 * np.random.default_rng(0).standard_normal(EPOCHS)
    curves = history(exponential(2, 0.3, 0.4, EPOCHS), exponential(0.3, 0.9, 0.4, EPOCHS), 0.6, accuracy, 0.1)
    given = evidence(curves, recipe=recipe(**{"optimizer.schedule": schedule}), running=True)
    assert ("noisy_validation" in [one.cause for one in diagnosed(given).findings]) is told


def test_validation_noise_beyond_counting_is_told_apart_from_few_images():
    random = np.random.default_rng(0)
    accuracy = 0.85 + 0.08 * random.standard_normal(EPOCHS)
    curves = history(exponential(2, 0.3, 0.4, EPOCHS), exponential(0.3, 0.9, 0.4, EPOCHS), 0.6, accuracy)
    assert "noisy_validation" in causes(curves, validation_images=2000)
    assert "noisy_validation" not in causes(curves, validation_images=20)


def test_validation_better_than_training_is_normal_with_augmentation():
    curves = history(
        exponential(2, 0.2, 0.4, EPOCHS), exponential(0.3, 0.92, 0.4, EPOCHS), exponential(2, 0.1, 0.4, EPOCHS), 0.97
    )
    augmented = diagnosed(evidence(curves, recipe=recipe(**{"augment.ops": ["pad_crop(4)"]})))
    assert augmented.verdict == "healthy"
    assert "that is normal" in str(augmented)
    plain = str(diagnosed(evidence(curves)))
    assert "nothing in the recipe" in plain
    assert "check-data" in str(diagnosed(evidence(curves)).findings)


def test_majority_class_alone_is_a_class_collapse():
    curves = history([0.06] * 5, 0.99, 0.06, 0.99)
    found = diagnosed(
        evidence(
            curves,
            classes=2,
            training_images=(1980, 20),
            train=predictions([990, 10], [1000, 0], [990, 0]),
            validation=predictions([990, 10], [1000, 0], [990, 0]),
        )
    )
    assert found.verdict == "class_collapse"
    assert found.findings[0].remedies[0].change == "data.balance=class_weights"
    assert "50.0%" in str(found)  # the balanced accuracy


def test_imbalance_without_predictions_is_a_suspicion():
    curves = history([0.06] * 5, 0.99, 0.06, 0.99)
    found = diagnosed(evidence(curves, classes=2, training_images=(1980, 20)))
    assert found.verdict == "class_collapse"
    assert "99 times" in found.sentence
    better = history([0.06] * 5, 0.995, 0.03, 0.999)
    assert diagnosed(evidence(better, classes=2, training_images=(1800, 200))).verdict == "healthy"


def test_suspicion_of_a_collapse_compares_with_the_classes_of_the_validation_images():
    """Training images are 10 to 1, validation images are balanced."""
    given = {"classes": 2, "training_images": (1000, 100), "validation_majority": 0.5}
    found = diagnosed(evidence(history([0.3] * 5, 0.91, 0.9, 0.725), **given))
    assert "class_collapse" not in {one.cause for one in found.findings}
    found = diagnosed(evidence(history([0.3] * 5, 0.91, 0.9, 0.5), **given))
    assert "the validation accuracy, 50.0%, is that of always answering it (50.0%)" in str(found)


def test_reestimated_statistics_prove_a_stale_batch_norm():
    curves = history(exponential(2, 0.1, 0.5, 10), exponential(0.3, 0.97, 0.5, 10), 4.0, 0.12)
    bad, good = predictions([50] * 10, [500] + [0] * 9, [50] + [0] * 9), predictions([50] * 10, [50] * 10, [46] * 10)
    found = diagnosed(evidence(curves, train=bad, validation=bad, reestimated=good))
    assert found.verdict == "stale_batch_norm"
    assert "rises from 10.0% to 92.0%" in str(found)
    suspected = diagnosed(evidence(curves))
    assert suspected.verdict == "stale_batch_norm"
    assert suspected.findings[0].title.startswith("suspected")
    not_proven = diagnosed(evidence(curves, train=good, validation=bad, reestimated=bad))
    assert not_proven.verdict != "stale_batch_norm"


def test_dead_channels_of_the_watch_are_named():
    layers = (LayerRecord("stage2_conv1", 0.8, 1e-3, 1.0), LayerRecord("stem", 0.0, 1e-3, 1.0))
    found = diagnosed(evidence(healthy(), layers=layers))
    assert found.verdict == "dead_layers"
    assert "stage2_conv1 (80%)" in str(found)
    assert "stem (" not in str(found)


def test_huge_weight_decay_is_too_strong_a_regularization():
    curves = history(exponential(2.2, 1.7, 0.8, EPOCHS), 0.4, exponential(2.2, 1.7, 0.8, EPOCHS), 0.4)
    strong = recipe(**{"optimizer.weight_decay": 0.1})
    found = diagnosed(evidence(curves, recipe=strong))
    assert found.verdict == "regularization_too_strong"
    assert found.findings[0].remedies[0].change.startswith("optimizer.weight_decay=")
    assert verdict(curves) == "underfitting"


def test_augmentation_that_hinders_is_weakened():
    curves = history(exponential(2, 1.4, 1, EPOCHS), 0.6, exponential(2, 1.1, 1, EPOCHS), 0.78)
    strong = recipe(**{"augment.ops": ["pad_crop(4)", "cutout(8)"]})
    found = diagnosed(evidence(curves, recipe=strong)).findings[0]
    assert found.cause == "regularization_too_strong"
    assert [one.change for one in found.remedies] == ["""augment.ops='["pad_crop(4)"]'"""]
    assert "on validation images, which get neither, is 18 points higher" in found.evidence[1]
    mild = recipe(**{"augment.ops": ["pad_crop(4)"]})
    assert diagnosed(evidence(curves, recipe=mild)).findings[0].remedies[0].change == "augment.ops='[]'"


def test_running_training_is_not_judged_by_its_end():
    short = history([1.9, 1.3, 0.9], [0.3, 0.5, 0.68], [1.6, 1.1, 0.8], [0.4, 0.6, 0.7])
    assert diagnosed(replace(evidence(short), running=True)).verdict == "healthy"
    assert diagnosed(replace(evidence(overfitted(8)), running=True)).verdict == "overfitting"


def test_training_without_validation_says_what_it_cannot_tell():
    curves = history(exponential(2, 0.02, 0.5, EPOCHS), exponential(0.3, 0.99, 0.5, EPOCHS))
    found = diagnosed(evidence(curves, validation_images=None))
    assert found.verdict == "healthy"
    assert any("no validation split" in text for text in found.cannot_tell)


def schedules(epochs: int) -> list[np.ndarray]:
    """A constant rate, a warm-up with a decay, and steps."""
    number = np.arange(1, epochs + 1)
    warmup = np.minimum(number / 3, (epochs + 1 - number) / epochs)
    return [np.full(epochs, 0.1), 0.1 * warmup, 0.1 * 0.1 ** (number > epochs / 2)]


@pytest.mark.parametrize("running", [False, True])
def test_warmup_below_half_the_peak_is_not_where_the_rate_fell(running):
    rate = 0.1 * np.array([0.2, 0.5, 0.75, 1, 1, 0.9, 0.6, 0.4, 0.2, 0.05])
    loss = [2.3, 2.29, 2.28, 2.27, 2.27, 2.26, 2.2, 1.9, 1.6, 1.5]
    accuracy = [0.1, 0.1, 0.12, 0.12, 0.13, 0.14, 0.2, 0.3, 0.4, 0.45]
    assert verdict(history(loss, accuracy, loss, accuracy, rate), running=running) == "rate_too_high"


def test_flat_negative_loss_is_a_plateau():
    curves = history(np.full(EPOCHS, -1.5), 0.6, 1.0, 0.6, 0.1)
    assert "plateau since epoch 1" in str(diagnosed(evidence(curves)).findings)


@pytest.mark.parametrize("epochs", [*range(1, 8), 12])
@pytest.mark.parametrize("running", [False, True])
def test_any_history_can_be_diagnosed(epochs, running):
    """Random curves with NaN, constants and negative losses, at all schedules: a diagnosis must never fail."""
    random = np.random.default_rng(epochs)
    for _ in range(40):
        columns = [random.choice([random.uniform(0, 3, epochs), np.full(epochs, 0.5)]) for _ in range(4)]
        if random.random() < 0.3:
            columns[random.choice([0, 2])][random.integers(epochs)] = random.choice([np.nan, np.inf])
        if random.random() < 0.3:
            columns[random.choice([0, 2])] *= -1
        rate = [None, *schedules(epochs)][random.integers(4)]
        curves = history(columns[0], columns[1] / 3, columns[2], columns[3] / 3, rate)
        for options in ({}, {"classes": None, "validation_images": None}, {"training_images": (5, 0, 1)}):
            assert str(diagnosed(evidence(curves, running=running, **options)))
