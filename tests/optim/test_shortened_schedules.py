"""Scaling of warmup and milestones when `train.epochs` is changed."""

from __future__ import annotations

import pytest

from cnnrecipes.errors import CNNRecipesWarning
from cnnrecipes.optim import shortened_schedules
from cnnrecipes.optim.schedule_registry import SCHEDULES
from cnnrecipes.recipe import catalog
from cnnrecipes.syntax.call_syntax import write_call
from cnnrecipes.syntax.duration import Duration

HE = "multi_step(['91 epochs', '136 epochs'], 0.2)"  # of 182 epochs


def changed(epochs, **optimizer):
    base = catalog.load("resnet20_cifar").change(optimizer=optimizer)
    return base.change(**{"train.epochs": epochs}).optimizer


@pytest.mark.parametrize("name", catalog.names())
def test_shipped_recipe_can_be_trained_for_one_epoch(name):
    optimizer = catalog.load(name).change(**{"train.epochs": 1}).optimizer
    assert shortened_schedules.fit(optimizer.warmup, optimizer.schedule, 1)
    assert optimizer.warmup == catalog.load(name).optimizer.warmup
    assert optimizer.warmup.unit == "%"


def test_lengths_that_do_not_fit_are_scaled_together_with_a_warning():
    with pytest.warns(CNNRecipesWarning, match="182 epochs does not fit into 91.*2.5 epochs.*45.5 epochs.*68 epochs"):
        optimizer = changed(91, schedule=HE, warmup="5 epochs")
    assert optimizer.warmup == Duration(2.5, "epochs")
    assert SCHEDULES.parse(optimizer.schedule) == SCHEDULES.parse("multi_step(['45.5 epochs', '68 epochs'], 0.2)")


@pytest.mark.parametrize(
    ("epochs", "optimizer"),
    [
        (137, {"schedule": HE, "warmup": "5 epochs"}),
        (1, {"schedule": "multi_step(['50%', '75%'])", "warmup": "5%"}),
        (1, {"schedule": "multi_step(['400 steps'])", "warmup": "4 steps"}),  # whether they fit depends on the data
        (1, {"schedule": "exponential('3 epochs')", "warmup": "0 epochs"}),
    ],
)
def test_lengths_that_fit_are_unchanged(epochs, optimizer):
    found = changed(epochs, **optimizer)
    assert (found.schedule, str(found.warmup)) == (optimizer["schedule"], optimizer["warmup"])


def test_explicit_lengths_are_unchanged_even_if_they_do_not_fit():
    base = catalog.load("resnet20_cifar")
    optimizer = base.change(**{"train.epochs": 3, "optimizer.warmup": "5 epochs"}).optimizer
    assert str(optimizer.warmup) == "5 epochs"
    contradiction = base.change(**{"optimizer.warmup": "200 epochs"})
    assert str(contradiction.change(**{"train.epochs": 100}).optimizer.warmup) == "200 epochs"


@pytest.mark.parametrize("epochs", [1, 3, 7, 100, 181])
@pytest.mark.parametrize(
    "schedule",
    ["cosine", HE, "step('60 epochs')", "trapezoid('170 epochs')", "warm_restarts('160 epochs')", "polynomial"],
)
@pytest.mark.filterwarnings("ignore::cnnrecipes.errors.CNNRecipesWarning")
def test_scaled_lengths_always_fit(schedule, epochs):
    optimizer = changed(epochs, schedule=schedule, warmup="11 epochs")
    assert shortened_schedules.fit(optimizer.warmup, optimizer.schedule, epochs)


@pytest.mark.parametrize("amount", [1.0, 5.0, 0.3, 136.0, 1e-3])
@pytest.mark.parametrize("share", [1 / 182, 0.5, 1 / 3, 0.999])
def test_scaled_length_is_never_longer_than_its_share(amount, share):
    found = shortened_schedules.scaled(Duration(amount, "epochs"), share).amount
    assert found <= amount * share * (1 + 1e-9)
    assert found == pytest.approx(amount * share, rel=2e-3)


@pytest.mark.parametrize(
    "text", ["cosine", "cosine(0.1)", HE, "step('3 epochs', factor=0.5)", "trapezoid('12.5%')", "plateau(3)"]
)
def test_schedule_call_survives_writing_and_parsing(text):
    call = SCHEDULES.parse(text)
    assert SCHEDULES.parse(write_call(call, SCHEDULES)) == call
