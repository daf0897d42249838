"""PyTorch checkpoints: loaded entirely or not at all, from mappings and files; mismatches are named."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr


def net(name: str = "resnet8", classes: int = 3, **options) -> keras.Model:
    return cr.build(name, input_shape=(16, 16, 3), classes=classes, **options)


def state_of(model: keras.Model) -> dict[str, np.ndarray]:
    """A handwritten PyTorch state_dict of a CIFAR ResNet, with random values."""
    parts = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
    parts |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    state = {}
    for i, weight in enumerate(model.weights):
        layer, part = weight.path.split("/")[-2:]
        stage, _, rest = layer.partition("_")
        module = {"stem_conv": "conv1", "stem_norm": "bn1", "logits": "linear"}.get(layer)
        if module is None:
            block, part_of = rest.split("_", 1)
            block = int(block.removeprefix("block")) - 1
            module = f"layer{stage.removeprefix('stage')}.{block}.{part_of.replace('norm', 'bn')}"
            module = module.replace("shortcut_conv", "shortcut.0").replace("shortcut_bn", "shortcut.1")
        value = np.random.default_rng(i).normal(size=weight.shape).astype("float32")
        state[f"{module}.{parts[part]}"] = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
    return state


def weights(model: keras.Model) -> list[np.ndarray]:
    return [weight.copy() for weight in model.get_weights()]


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_every_weight_is_loaded_with_transposed_axes(shortcut):
    model = net(shortcut=shortcut)
    state = state_of(model)
    conversion = cr.load_state_dict(model, state)
    assert (conversion.missing, conversion.unexpected, conversion.clashing) == ((), (), ())
    assert set(conversion.matched) == set(state)
    kernel = state["layer2.0.conv1.weight"]
    np.testing.assert_array_equal(model.get_layer("stage2_block1_conv1").kernel[1, 2, 3, 4], kernel[4, 3, 1, 2])
    np.testing.assert_array_equal(model.get_layer("logits").kernel, state["linear.weight"].T)
    np.testing.assert_array_equal(model.get_layer("stem_norm").moving_variance, state["bn1.running_var"])


def test_npz_files_and_dataparallel_names_are_read(tmp_path):
    model, other = net(), net()
    state = state_of(model)
    cr.load_state_dict(model, state)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    np.savez(tmp_path / "w.npz", **wrapped, **{"module.bn1.num_batches_tracked": np.array(7)})
    cr.load_state_dict(other, tmp_path / "w.npz")
    for a, b in zip(weights(model), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_safetensors_are_read(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    model = net()
    state = state_of(model)
    numpy.save_file({name: np.ascontiguousarray(value) for name, value in state.items()}, tmp_path / "w.safetensors")
    assert len(cr.load_state_dict(model, str(tmp_path / "w.safetensors")).matched) == len(state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("layer1.0.conv2.weight"), r"1 missing: stage1_block1_conv2/kernel .layer1\.0\.conv2\.weight"),
        (lambda s: s.update({"extra.weight": np.ones(3)}), r"1 unexpected: extra\.weight"),
        (lambda s: s.update({"linear.bias": np.ones(10)}), r"1 clashing: linear\.bias is \(10,\), logits/bias \(3,\)"),
        (lambda s: s.update({"linear.bias": np.array("text")}), r"'linear\.bias' is of type <U4; give a state_dict"),
    ],
)
def test_mismatch_is_named_and_no_weight_is_changed(change, words):
    model = net()
    state = state_of(model)
    change(state)
    before = weights(model)
    with pytest.raises(cr.ModelError, match=words):
        cr.load_state_dict(model, state)
    for a, b in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_non_strict_loading_skips_mismatched_weights():
    model, other = net(classes=3), net(classes=7)
    state = state_of(other)
    before = model.get_layer("logits").kernel.numpy()
    conversion = cr.load_state_dict(model, state, strict=False)
    assert [name.split()[0] for name in conversion.clashing] == ["linear.weight", "linear.bias"]
    np.testing.assert_array_equal(model.get_layer("logits").kernel, before)
    np.testing.assert_array_equal(model.get_layer("stem_conv").kernel, state["conv1.weight"].transpose(2, 3, 1, 0))


def test_state_of_another_depth_names_both_depths():
    with pytest.raises(cr.ModelError, match=r"does not match resnet14.*\[2, 2, 2\] here, \[1, 1, 1\] in the state"):
        cr.load_state_dict(net("resnet14"), state_of(net("resnet8")))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("w.pth", b"", "PyTorch's own format.*numpy.savez"),
        ("w.npz", b"no archive", r"cannot read .*w\.npz as \.npz or \.safetensors"),
        ("w.txt", b"text", r"cannot read .*w\.txt"),
        ("none.npz", None, r"no file at .*none\.npz"),
    ],
)
def test_invalid_state_file_is_named(name, content, words, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(cr.ModelError, match=words):
        cr.load_state_dict(net(), tmp_path / name)


def test_unsupported_objects_and_architectures_are_refused():
    with pytest.raises(cr.ModelError, match="the state is a list; give a .npz or .safetensors file, or a mapping"):
        cr.load_state_dict(net(), [1, 2])
    with pytest.raises(cr.ModelError, match="wrn16_4: no PyTorch layout is known for the layer 'last_norm'"):
        cr.load_state_dict(net("wrn16_4"), {})
