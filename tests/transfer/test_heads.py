"""Heads "linear" and "mlp", trained by steps on cached features of a frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from adaptation import OTHER, adapt, by_path, stopped

import cnnrecipes as cr
from cnnrecipes import transfer
from cnnrecipes._support.console import silent
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import ModelError, RecipeError
from cnnrecipes.runs.watch_records import FILE
from cnnrecipes.runs.weights import START, read_weights
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.start_or_resume import Start
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.trainer import Trainer
from cnnrecipes.transfer.layer_freezing import backbone_layers, freeze
from cnnrecipes.transfer.plan import TransferPlan
from cnnrecipes.verify.resume_check import differences


def head_run(pretrained, folder, head: str, **changes):
    """Train a head of the run's recipe on other images, from the backbone of the run."""
    settings = {"transfer.head": head, "train.start_from": None, "model.weights": str(pretrained.folder)}
    return adapt("features", pretrained, folder, **settings, **changes)


@pytest.fixture(scope="module")
def plain(pretrained, tmp_path_factory):
    """A run with a linear head; its artifact has the last weights."""
    return head_run(pretrained, tmp_path_factory.mktemp("plain"), "linear", **{"train.artifact": "last"})


@dataclass(frozen=True)
class FrozenPlan(TransferPlan):
    """The same training on images: the frozen backbone is run in every epoch."""

    def build(self, norm=None):
        model = self.start_model()
        freeze(backbone_layers(model))
        return model


def trained(plan, folder) -> dict[str, np.ndarray]:
    """Train a plan, and return the weights of its head by path."""
    with seeded(0):
        job = TrainJob.build(plan, Devices.open("single"))
    outcome = Trainer(job, cr.Run.create(folder, plan.recipe), say=silent).fit()
    return {path: value for path, value in by_path(outcome.weights, job.model.inner).items() if "logits" in path}


def test_linear_head_is_trained_as_with_the_frozen_backbone_in_every_epoch(pretrained, tmp_path):
    more = {"train.artifact": "last", "train.epochs": 4, "optimizer.weight_decay": 1e-3}
    run = head_run(pretrained, tmp_path, "linear", **more)
    with InputPipeline.open(run.recipe, OTHER) as pipeline, seeded(0):
        plan = transfer.prepare(pipeline, Start(run.recipe), silent, Devices.open("single"))
        shared = {"start_weights": plan.start_weights, "paths": plan.paths, "count": plan.count}
        cached = trained(plan, tmp_path)
        computed = trained(FrozenPlan(pipeline, **shared), tmp_path)
    start = by_path(plan.start_weights, run.model)
    assert cached.keys() == computed.keys() == {"logits/kernel", "logits/bias"}
    for path, value in cached.items():
        assert np.abs(value - start[path]).max() > 1e-3
        np.testing.assert_allclose(value, computed[path], atol=1e-4)
        np.testing.assert_array_equal(value, by_path(run.model.get_weights(), run.model)[path])


def test_head_starts_from_drawn_weights_and_none_is_fitted(pretrained, plain, tmp_path, capsys):
    one = {"progress": True, "train.epochs": 1}
    runs = [head_run(pretrained, tmp_path, "linear", **one, **{"train.seed": seed}) for seed in (0, 1)]
    assert "logistic" not in capsys.readouterr().out
    starts = [by_path(read_weights(run.folder / START)[0], run.model) for run in (plain, *runs)]
    assert np.array_equal(starts[0]["logits/kernel"], starts[1]["logits/kernel"])
    assert not np.array_equal(starts[0]["logits/kernel"], starts[2]["logits/kernel"])
    assert not np.array_equal(
        starts[0]["logits/kernel"], by_path(pretrained.model.get_weights(), pretrained.model)["logits/kernel"]
    )
    assert not starts[0]["logits/bias"].any()
    np.testing.assert_array_equal(starts[0]["stem_conv/kernel"], starts[2]["stem_conv/kernel"])


def test_mlp_is_recorded_trained_and_saved_with_the_backbone(pretrained, tmp_path):
    run = head_run(pretrained, tmp_path, "mlp", **{"train.epochs": 5})
    assert run.recipe.model.head == "mlp"
    assert [layer.name for layer in run.model.layers[-5:]] == [
        "pool",
        "head_fc1",
        "head_fc1_act",
        "head_fc1_dropout",
        "logits",
    ]
    assert run.model.get_layer("head_fc1").units == 512
    assert run.model.get_layer("head_fc1_dropout").rate == 0.5
    found, before = (
        by_path(run.model.get_weights(), run.model),
        by_path(pretrained.model.get_weights(), pretrained.model),
    )
    for path, value in before.items():
        if "logits" not in path and not path.startswith("standardize"):
            np.testing.assert_array_equal(found[path], value)
    epoch = run.metrics["epoch"] - 1
    assert run.metrics["validation"]["accuracy"] == pytest.approx(run.history["val_accuracy"][epoch])
    assert run.metrics["validation"]["cross_entropy"] == pytest.approx(run.history["val_loss"][epoch], abs=1e-5)
    assert run.metrics["validation"] == run.evaluate(OTHER, "validation")


@pytest.mark.parametrize(
    ("head", "more"),
    [
        ("mlp", {"augment.ops": ["flip_lr"], "transfer.views": 1, "optimizer.lookahead": 2}),
        ("mlp", {"optimizer.ema": 0.9, "train.microbatches": 2, "model.dropout": 0.2}),
    ],
)
def test_killed_training_resumes_bit_exactly(pretrained, tmp_path, head, more):
    run = head_run(pretrained, tmp_path / "whole", head, **more, **{"logging.watch": "1 epoch"})
    resumed = cr.resume(stopped(run, tmp_path), data=OTHER, progress=False)
    assert differences(run, resumed) == []
    assert "stem_conv" not in set(run.watch()["layer"])  # of the head, on features
    assert (run.folder / FILE).read_bytes() == (resumed.folder / FILE).read_bytes()
    assert resumed.metrics == run.metrics


def test_averaged_weights_are_those_of_the_artifact(pretrained, plain, tmp_path):
    averaged = head_run(pretrained, tmp_path, "linear", **{"train.artifact": "last", "optimizer.ema": 0.9})
    kernels = [run.model.get_layer("logits").get_weights()[0] for run in (plain, averaged)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4
    assert averaged.metrics["validation"]["cross_entropy"] == pytest.approx(
        averaged.history["val_loss"].iloc[-1], abs=1e-5
    )


def test_training_of_a_head_is_extended(plain, tmp_path):
    changes = {"schedule": "constant", "learning_rate": 0.01, "workdir": tmp_path}
    longer = cr.extend(plain, 1, data=OTHER, progress=False, **changes)
    assert len(longer.history) == 3
    np.testing.assert_array_equal(*[each.model.get_layer("stem_conv").get_weights()[0] for each in (plain, longer)])


def test_heads_that_contradict_the_model_or_the_way_are_refused(pretrained, tmp_path):
    with pytest.raises(ModelError, match=r"model here has a linear one; leave model.head out"):
        head_run(pretrained, tmp_path, "mlp", **{"model.head": "average"})
    with pytest.raises(ModelError, match=r"transfer.head = 'linear' is a linear layer.*head_fc1, logits"):
        head_run(pretrained, tmp_path, "linear", **{"model.head": "mlp"})
    with pytest.raises(RecipeError, match=r"head 'mlp' is trained on frozen features.*how is 'finetune'"):
        adapt("finetune", pretrained, tmp_path, **{"transfer.head": "mlp"})
    assert not list(tmp_path.iterdir())
