"""LoRA: starts as the frozen model, merges into a plain model, resumes bit-exactly."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from adaptation import OTHER, adapt, by_path, stopped

import cnnrecipes as cr
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import ModelError
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.weights import BEST, START, read_weights
from cnnrecipes.training.precision import layers_in
from cnnrecipes.transfer.lora import LoraPlan
from cnnrecipes.verify.resume_check import differences

RANK = {"transfer.rank": 2, "transfer.update_rate": 1.0}


@pytest.fixture(scope="module")
def run(pretrained, tmp_path_factory):
    more = {"logging.watch": "1 epoch", "optimizer.lookahead": 2, "train.microbatches": 2, "train.seed": 4}
    return adapt("lora", pretrained, tmp_path_factory.mktemp("lora"), **RANK, **more)


def plan(run) -> LoraPlan:
    """The plan of a run, from its start."""
    return LoraPlan(InputPipeline.open(run.recipe, OTHER), start_weights=read_weights(run.folder / START)[0])


def drawn_updates(model):
    """Set B of all updates, which is 0 at the start."""
    random = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign_add(random.normal(0, 0.05, weight.shape))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0), ("bfloat16", 0)])
def test_initialized_updates_equal_the_frozen_model(run, dtype, tolerance):
    with layers_in(dtype):
        adapted, frozen = plan(run).build(), plan(run).start_model()
    images = OTHER[0][:8]
    np.testing.assert_allclose(adapted(images, training=True), frozen(images, training=False), atol=tolerance)


def test_watch_measures_the_layers_with_updates(run):
    table = run.watch()
    trained = table[table["weight_norm"].notna()]
    assert set(trained["layer"]) == {weight.path.partition("/")[0] for weight in plan(run).build().trainable_variables}
    assert (trained["update_ratio"] > 0).all()
    assert (trained["kind"] == "weighted").all()  # norms are frozen
    assert table.filter(like="bin_").sum(axis=1).max() <= 16_384


def test_merged_model_equals_the_unmerged_one(run):
    made = plan(run)
    model = made.build()
    drawn_updates(model)
    merged = made.artifact(model.get_weights())
    images = OTHER[0][:8]
    assert np.abs(model(images) - made.start_model()(images)).max() > 0.1
    np.testing.assert_allclose(merged(images), model(images), atol=1e-5)
    assert [weight.path for weight in merged.weights] == [weight.path for weight in made.whole().weights]


def test_only_updates_small_kernels_and_head_are_trained(run):
    model = plan(run).build()
    trained = {v.path for v in model.trainable_variables}
    assert {path.rpartition("/")[2] for path in trained} == {"lora_kernel_a", "lora_kernel_b", "kernel", "bias"}
    assert {path for path in trained if path.endswith("/bias")} == {"logits/bias"}
    values = {layer.name: sum(np.prod(v.shape) for v in layer.trainable_variables) for layer in model.layers}
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert all(0 < values[layer.name] <= np.prod(layer.kernel.shape) for layer in convolutions)
    assert sum(values.values()) < 0.5 * sum(np.prod(v.shape) for v in plan(run).whole().trainable_variables)


def test_metrics_have_the_numbers_of_parameters(run):
    trained = sum(math.prod(weight.shape) for weight in plan(run).build().trainable_variables)  # A, B and the head
    whole = sum(math.prod(weight.shape) for weight in run.model.trainable_weights)
    assert (run.metrics["parameters"], run.metrics["trainable_parameters"]) == (whole, trained)
    assert trained < whole
    assert f"{trained:,} of {whole:,} parameters trained" in repr(run)


def test_artifact_is_the_start_and_the_trained_updates(run):
    start, end = by_path(read_weights(run.folder / START)[0], run.model), by_path(run.model.get_weights(), run.model)
    changed = {path for path in start if not np.array_equal(start[path], end[path])}
    assert {"stage1_block1_conv1/kernel", "logits/kernel"} <= changed
    assert not [path for path in changed if not path.startswith("logits") and not path.endswith("/kernel")]


def test_rank_above_all_kernels_is_refused_with_the_highest_which_trains(pretrained, tmp_path, capsys):
    with pytest.raises(ModelError, match=r"transfer.rank = 4096 is too high for every kernel.* 16 .* to 14 at most"):
        adapt("lora", pretrained, tmp_path, **{"transfer.rank": 4096})
    run = adapt("lora", pretrained, tmp_path, True, **{"transfer.rank": 14, "train.epochs": 1})
    count, whole = (run.metrics[key] for key in ("trainable_parameters", "parameters"))
    shown = capsys.readouterr().out
    assert f"{count:,} of {whole:,} parameters trained" in shown
    kernels = [layer for layer in plan(run).build().layers if type(layer) is keras.layers.Conv2D]
    updated = sum(math.prod(layer.kernel.shape[:-1]) > 27 for layer in kernels)  # the first has the matrix 27 x 16
    assert 0 < updated < len(kernels)
    assert f"updates of rank 14 of {updated} kernels, {len(kernels) - updated} smaller kernel" in shown


def test_resume_is_bit_exact_and_unfinished_run_predicts_with_averaged_weights_in_bfloat16(pretrained, tmp_path):
    more = {"optimizer.ema": 0.9, "train.precision": "bfloat16", "train.seed": 4}
    assert_resumes_bit_exactly(adapt("lora", pretrained, tmp_path / "whole", **RANK, **more), tmp_path)


def test_resume_is_bit_exact_and_unfinished_run_predicts(run, tmp_path):
    assert_resumes_bit_exactly(run, tmp_path)


def assert_resumes_bit_exactly(run, tmp_path):
    assert run.metrics["epoch"] > 0  # else predictions would be those of the start
    folder = stopped(run, tmp_path, best=True)
    with pytest.warns(cr.CNNRecipesWarning, match="is not finished"):
        np.testing.assert_array_equal(cr.Run.open(folder).artifact.logits(OTHER[0]), run.artifact.logits(OTHER[0]))
    resumed = cr.resume(folder, data=OTHER, progress=False)
    assert differences(run, resumed) == []
    assert resumed.metrics == run.metrics


def test_run_killed_before_its_first_checkpoint_starts_again_with_the_same_updates(run, tmp_path):
    folder = stopped(run, tmp_path)
    for path in checkpoint.found(folder):
        path.unlink()
    resumed = cr.resume(folder, data=OTHER, progress=False)
    assert differences(run, resumed) == []


def test_extension_goes_on_with_the_updates(run, tmp_path):
    longer = cr.extend(run, 1, schedule="constant", learning_rate=0.01, data=OTHER, workdir=tmp_path, progress=False)
    assert len(longer.history) == 3
    before, after = (checkpoint.newest(each.folder) for each in (run, longer))
    assert before.arrays.keys() == after.arrays.keys()
    for one, other in zip(*[read_weights(each.folder / START)[0] for each in (run, longer)], strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_starts_from_an_unfinished_run(pretrained, run, tmp_path):
    folder = stopped(run, tmp_path)
    (folder / checkpoint.FOLDER / BEST).unlink(missing_ok=True)  # prediction then takes the checkpoint's weights too
    start = checkpoint.newest(folder)
    part = cr.Run.open(folder)
    with pytest.warns(cr.CNNRecipesWarning, match="is not finished"):
        whole = part.model.get_weights()
    other = adapt("none", pretrained, tmp_path / "next", **{"train.start_from": str(start.path), "train.epochs": 1})
    for one, two in zip(read_weights(other.folder / START)[0], whole, strict=True):
        np.testing.assert_array_equal(one, two)
