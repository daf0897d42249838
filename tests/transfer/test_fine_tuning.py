"""Fine-tuning: frozen stages and their cached outputs, batch norm in inference mode, learning rates by stage."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from adaptation import OTHER, adapt, by_path, is_statistic, stopped

import cnnrecipes as cr
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import ModelError, RecipeError
from cnnrecipes.models import layers_by_stage
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.weights import BEST, START, read_weights
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.transfer.fine_tuning import FinetunePlan
from cnnrecipes.transfer.layer_freezing import stage_rates

WHOLE = {"augment.ops": ["flip_lr"], "train.artifact": "last", "train.epochs": 1}


@pytest.fixture(scope="module")
def whole(pretrained, tmp_path_factory):
    """A run that trains all stages, on augmented images; its artifact has the last weights."""
    return adapt("finetune", pretrained, tmp_path_factory.mktemp("whole"), **WHOLE)


SUFFIX = {"transfer.train_from": "stage2", "optimizer.ema": 0.9}


@pytest.fixture(scope="module")
def suffix(pretrained, tmp_path_factory):
    """A run on cached outputs of the stem and the first stage."""
    return adapt("finetune", pretrained, tmp_path_factory.mktemp("suffix"), **SUFFIX)


@pytest.fixture(scope="module")
def last_stage(pretrained, tmp_path_factory):
    """A run that trains the last stage and the head, on mixed images."""
    changes = {"transfer.train_from": "stage2", "augment.ops": ["mixup"], "optimizer.lookahead": 2}
    return adapt("finetune", pretrained, tmp_path_factory.mktemp("last_stage"), **{**changes, "train.artifact": "last"})


def start_and_end(run):
    """Weights by path: those at step 0, which start_from.npz holds, and those of the artifact."""
    return by_path(read_weights(run.folder / START)[0], run.model), by_path(run.model.get_weights(), run.model)


def changed(run) -> set[str]:
    start, end = start_and_end(run)
    return {path for path in start if not np.array_equal(start[path], end[path])}


def assert_all_but_statistics_changed(run):
    start, _ = start_and_end(run)
    standardize = {path for path in start if path.startswith("standardize")}
    assert changed(run) == {path for path in start if not is_statistic(path)} - standardize


def test_moving_statistics_are_bit_equal_and_all_other_weights_are_trained(whole):
    assert_all_but_statistics_changed(whole)


def test_moving_statistics_are_bit_equal_with_every_kind_of_training(pretrained, tmp_path):
    kinds = {
        "optimizer.ema": 0.9,
        "train.microbatches": 2,
        "train.precision": "bfloat16",
        "train.time_budget": "60 min",
    }
    decay = {"optimizer.layer_decay": 0.9, "transfer.stage_decay": 1.0}
    run = adapt("finetune", pretrained, tmp_path, **{"train.artifact": "last", **kinds, **decay})
    assert_all_but_statistics_changed(run)


def trained_paths(run) -> set[str]:
    groups = layers_by_stage(run.model)
    return {v.path for name in ("stage2", "head") for layer in groups[name] for v in layer.weights}


def test_frozen_stages_are_bit_equal(last_stage):
    assert changed(last_stage) == {path for path in trained_paths(last_stage) if not is_statistic(path)}
    assert all(layer.trainable for layer in last_stage.artifact.model.layers)  # which are free in the artifact


def test_frozen_stages_are_bit_equal_below_batch_norms_that_train(pretrained, tmp_path):
    more = {"transfer.train_from": "stage2", "transfer.batch_norm": "train"}
    run = adapt("finetune", pretrained, tmp_path, **WHOLE, **more)
    assert changed(run) == trained_paths(run)


def test_unknown_stage_is_named_with_the_stages_before_a_head_is_fitted(pretrained, tmp_path):
    with pytest.raises(ModelError, match=r"train_from = 'stage9' is not a stage.*stage1, stage2.*'features'"):
        adapt("finetune", pretrained, tmp_path, **{"transfer.train_from": "stage9"})
    assert not list(tmp_path.iterdir())


def test_learning_rates_decay_from_the_head_to_the_stem():
    model = cr.build("resnet8", input_shape=(16, 16, 3), classes=2)
    rates = stage_rates(model, 0.5)
    assert {v.path for v in model.trainable_variables} == rates.keys()
    factors = {"head": 1, "stage3": 0.5, "stage2": 0.25, "stage1": 0.125, "stem": 0.0625}
    for name, layers in layers_by_stage(model).items():
        assert {rates[v.path] for layer in layers for v in layer.trainable_variables} <= {factors[name]}


def test_decay_by_stage_and_by_layer_exclude_each_other(pretrained, tmp_path):
    with pytest.raises(
        RecipeError, match=r"layer_decay = 0.9 and transfer.stage_decay = 0.4.*set transfer.stage_decay"
    ):
        adapt("finetune", pretrained, tmp_path, **{"optimizer.layer_decay": 0.9})


def test_cached_outputs_of_frozen_stages_give_the_same_training(pretrained, suffix, tmp_path, capsys):
    """With 16-row batches for the cache and others in training, values differ by float32 rounding."""
    computed = adapt("finetune", pretrained, tmp_path, True, **SUFFIX, **{"data.cache_gb": 1e-6})
    assert "the frozen stages, stem to stage1, are computed in every epoch: their outputs" in capsys.readouterr().out
    for one, other in zip(computed.model.get_weights(), suffix.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(computed.history["loss"], suffix.history["loss"], atol=1e-5)
    assert suffix.evaluate(OTHER)["n"] == 60


def test_validation_of_the_cached_training_equals_that_of_the_artifact(suffix):
    epoch = suffix.metrics["epoch"] - 1
    assert suffix.metrics["validation"]["cross_entropy"] == pytest.approx(suffix.history["val_loss"][epoch], abs=1e-5)


def test_unfinished_run_predicts_with_the_whole_model(suffix, tmp_path):
    folder = stopped(suffix, tmp_path, best=True)
    with pytest.warns(cr.CNNRecipesWarning, match="is not finished"):
        found = cr.Run.open(folder).artifact
    np.testing.assert_array_equal(found.logits(OTHER[0]), suffix.artifact.logits(OTHER[0]))


@pytest.mark.parametrize("source", ["folder", "checkpoint"])
def test_training_starts_from_a_run_that_trains_a_part(pretrained, suffix, tmp_path, source):
    folder = stopped(suffix, tmp_path)
    (folder / "checkpoints" / BEST).unlink(missing_ok=True)  # prediction then takes the checkpoint's weights too
    part = cr.Run.open(folder)
    with pytest.warns(cr.CNNRecipesWarning, match="is not finished"):
        expected = by_path(part.model.get_weights(), part.model)
    path = folder if source == "folder" else next((folder / "checkpoints").glob("step_*"))
    run = adapt("none", pretrained, tmp_path / "next", **{"train.start_from": str(path), "train.epochs": 1})
    start = by_path(read_weights(run.folder / START)[0], run.model)
    before, _ = start_and_end(suffix)
    assert np.array_equal(start["stem_conv/kernel"], before["stem_conv/kernel"])
    assert not np.array_equal(start["logits/kernel"], before["logits/kernel"])
    assert [path for path in start if not np.array_equal(start[path], expected[path])] == []


def test_checkpoint_of_a_part_outside_of_its_run_is_refused(pretrained, suffix, tmp_path):
    lost = tmp_path / "lost.npz"
    lost.write_bytes(next((suffix.folder / "checkpoints").glob("step_*")).read_bytes())
    with pytest.raises(cr.RunError, match=r"leave the file in its run folder"):
        adapt("none", pretrained, tmp_path, **{"train.start_from": str(lost)})


def test_extension_of_a_cached_training_is_a_whole_run(suffix, tmp_path):
    longer = cr.extend(suffix, 1, schedule="constant", learning_rate=0.01, data=OTHER, workdir=tmp_path, progress=False)
    assert len(longer.history) == 3
    assert np.array_equal(*[run.model.get_layer("stem_conv").get_weights()[0] for run in (suffix, longer)])


def test_dropout_of_frozen_stages_is_off_and_that_of_trained_stages_on(suffix):
    recipe = suffix.recipe.change(**{"model.block_dropout": 0.5})
    plan = FinetunePlan(InputPipeline.open(recipe, OTHER), start_weights=suffix.model.get_weights())
    groups = layers_by_stage(plan.build())
    rates = {name: {layer.rate for layer in layers if hasattr(layer, "rate")} for name, layers in groups.items()}
    assert (rates["stage1"], rates["stage2"]) == ({0.0}, {0.5})


def test_no_gradient_is_computed_below_the_first_trained_stage(last_stage):
    """The graph of a training step has gradients of the convolutions of trained stages only."""
    plan = FinetunePlan(InputPipeline.open(last_stage.recipe, OTHER), start_weights=last_stage.model.get_weights())
    training = TrainJob.build(plan, Devices.open("single")).model
    model = training.inner
    specs = tf.TensorSpec((4, 16, 16, 3), tf.uint8), tf.TensorSpec((4, 2))
    graph = tf.function(training._microbatch, autograph=False).get_concrete_function(*specs).graph
    # TensorFlow adds the gradients of both arguments of a convolution, and does not run those that nothing takes.
    taken = [op for op in graph.get_operations() if any(tensor.consumers() for tensor in op.outputs)]
    kinds = Counter(op.type for op in graph.get_operations())
    trained = [layer for layer in layers_by_stage(model)["stage2"] if isinstance(layer, keras.layers.Conv2D)]
    entered = [layer for layer in trained if layer.name in ("stage2_block1_conv1", "stage2_block1_shortcut_conv")]
    assert kinds["Conv2D"] == sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)
    assert kinds["Conv2DBackpropFilter"] == len(trained)
    assert sum(op.type == "Conv2DBackpropInput" for op in taken) == len(trained) - len(entered)


LORA = {"transfer.rank": 2, "train.artifact": "last", "train.epochs": 1}
LINEAR = {"transfer.head": "linear", "train.artifact": "last", "train.epochs": 1, "train.microbatches": 2}


@pytest.fixture(scope="module")
def on_two_devices(pretrained, tmp_path_factory) -> list[cr.Run]:
    """The runs `whole` and `suffix`, one of LoRA, and one of a linear head, on two devices in one process."""
    code = """
        import json, sys
        import cnnrecipes as cr
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        sys.path.insert(0, sys.argv[1])
        from adaptation import adapt
        for how, changes in json.loads(sys.argv[4]):
            changes |= {"devices.strategy": "mirrored", "logging.report": "off"}
            run = adapt(how, cr.Run.open(sys.argv[2]), sys.argv[3], **changes)
            print(run.folder)
    """
    folder = tmp_path_factory.mktemp("two")
    trainings = [("finetune", WHOLE), ("finetune", SUFFIX), ("lora", LORA), ("features", LINEAR)]
    arguments = [str(Path(__file__).parents[1]), str(pretrained.folder), str(folder), json.dumps(trainings)]
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [cr.Run.open(line) for line in done.stdout.split()[-4:]]


def assert_trained_as_one(two: cr.Run, one: cr.Run):
    for weight, a, b in zip(one.model.weights, one.model.get_weights(), two.model.get_weights(), strict=True):
        if is_statistic(weight.path):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_two_devices_fine_tune_as_one_and_leave_the_moving_statistics(on_two_devices, whole):
    assert_trained_as_one(on_two_devices[0], whole)


def test_two_devices_train_low_rank_updates_as_one_and_leave_the_moving_statistics(
    pretrained, on_two_devices, tmp_path
):
    assert_trained_as_one(on_two_devices[2], adapt("lora", pretrained, tmp_path, **LORA))


def test_two_devices_train_a_part_on_cached_outputs_as_one(on_two_devices, suffix):
    one, two = (checkpoint.newest(run.folder).arrays for run in (suffix, on_two_devices[1]))
    assert one.keys() == two.keys()
    for name in one:
        if name.startswith(("model", "averages")):
            np.testing.assert_allclose(one[name], two[name], atol=2e-5)


def test_two_devices_train_a_head_on_features_as_one(pretrained, on_two_devices, tmp_path):
    assert_trained_as_one(on_two_devices[3], adapt("features", pretrained, tmp_path, **LINEAR))
