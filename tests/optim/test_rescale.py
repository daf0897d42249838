"""Warm-ups and milestones where `train.epochs` is changed."""

from __future__ import annotations

import pytest

from cnnrecipes.errors import CNNRecipesWarning
from cnnrecipes.optim import methods, rescale
from cnnrecipes.recipe import catalog
from cnnrecipes.syntax.call_syntax import write_call
from cnnrecipes.syntax.duration import Duration

HE = "multi_step(['91 epochs', '136 epochs'], 0.2)"  # of 182 epochs


def changed(epochs, **train):
    base = catalog.load("resnet20_cifar").change(**{f"train.{key}": value for key, value in train.items()})
    return base.change(**{"train.epochs": epochs}).train


@pytest.mark.parametrize("name", catalog.names())
def test_a_shipped_recipe_can_be_tried_for_one_epoch(name):
    train = catalog.load(name).change(**{"train.epochs": 1}).train
    assert rescale.fit(train.warmup, train.schedule, 1)
    assert train.warmup == catalog.load(name).train.warmup
    assert train.warmup.unit == "%"


def test_what_has_no_room_is_scaled_together_and_said():
    with pytest.warns(CNNRecipesWarning, match="182 epochs has no room in 91.*2.5 epochs.*45.5 epochs.*68 epochs"):
        train = changed(91, schedule=HE, warmup="5 epochs")
    assert train.warmup == Duration(2.5, "epochs")
    assert methods.schedule(train.schedule) == methods.schedule("multi_step(['45.5 epochs', '68 epochs'], 0.2)")


@pytest.mark.parametrize(
    ("epochs", "train"),
    [
        (137, {"schedule": HE, "warmup": "5 epochs"}),
        (1, {"schedule": "multi_step(['50%', '75%'])", "warmup": "5%"}),
        (1, {"schedule": "multi_step(['400 steps'])", "warmup": "4 steps"}),  # its data tells whether they fit
        (1, {"schedule": "exponential('3 epochs')", "warmup": "0 epochs"}),
    ],
)
def test_what_has_room_stays(epochs, train):
    found = changed(epochs, **train)
    assert (found.schedule, str(found.warmup)) == (train["schedule"], train["warmup"])


def test_what_is_asked_for_stays_even_if_it_has_no_room():
    base = catalog.load("resnet20_cifar")
    train = base.change(**{"train.epochs": 3, "train.warmup": "5 epochs"}).train
    assert str(train.warmup) == "5 epochs"
    contradiction = base.change(**{"train.warmup": "200 epochs"})
    assert str(contradiction.change(**{"train.epochs": 100}).train.warmup) == "200 epochs"


@pytest.mark.parametrize("epochs", [1, 3, 7, 100, 181])
@pytest.mark.parametrize(
    "schedule",
    ["cosine", HE, "step('60 epochs')", "trapezoid('170 epochs')", "warm_restarts('160 epochs')", "polynomial"],
)
@pytest.mark.filterwarnings("ignore::cnnrecipes.errors.CNNRecipesWarning")
def test_scaled_lengths_always_have_room(schedule, epochs):
    train = changed(epochs, schedule=schedule, warmup="11 epochs")
    assert rescale.fit(train.warmup, train.schedule, epochs)


@pytest.mark.parametrize("amount", [1.0, 5.0, 0.3, 136.0, 1e-3])
@pytest.mark.parametrize("share", [1 / 182, 0.5, 1 / 3, 0.999])
def test_a_scaled_length_is_never_longer_than_its_share(amount, share):
    found = rescale.scaled(Duration(amount, "epochs"), share).amount
    assert found <= amount * share * (1 + 1e-9)
    assert found == pytest.approx(amount * share, rel=2e-3)


@pytest.mark.parametrize(
    "text", ["cosine", "cosine(0.1)", HE, "step('3 epochs', factor=0.5)", "trapezoid('12.5%')", "plateau(3)"]
)
def test_a_call_is_written_as_it_is_read(text):
    call = methods.schedule(text)
    assert methods.schedule(write_call(call, methods.SCHEDULES)) == call
