"""The summary that `fit` prints before training, and the note on oneDNN."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

import cnnrecipes as cr
from cnnrecipes.training import preflight

SHORT = {"train.epochs": 1, "optimizer.warmup": "0 epochs"}


def two_classes() -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8), np.arange(20) % 2


def test_fit_prints_data_model_and_schedule_before_the_first_epoch(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 8, 8, 3), np.uint8), np.arange(40) % 8
    names = [f"class{i}" for i in range(8)]
    data = {"train": (x, y), "test": (x[:8], y[:8]), "class_names": names}
    run = cr.fit("resnet8_digits", data=data, workdir=tmp_path, **SHORT)
    lines = capsys.readouterr().out.splitlines()
    first_epoch = next(i for i, line in enumerate(lines) if line.startswith("epoch 1/1"))
    summary = "\n".join(lines[:first_epoch])
    assert "arrays: 8 classes (class0, class1, class2, class3, class4, and 3 more)" in summary
    assert "32 training, 8 validation, 8 test images" in summary
    assert "8x8 RGB, in batches of 32 (all there are; data.batch_size is 64)" in summary
    parameters = sum(np.prod(weight.shape) for weight in run.model.trainable_weights)
    assert f"resnet8, {parameters:,} parameters, random weights" in summary
    assert f"CPU with {os.cpu_count()} cores, computing in float32" in summary or "GPU" in summary
    assert "1 epochs of 1 steps, 1 in all" in summary


def test_fit_without_progress_prints_nothing(tmp_path, capsys):
    x, y = two_classes()
    cr.fit("resnet8_digits", data=(x, y), workdir=tmp_path, progress=False, **SHORT)
    assert capsys.readouterr().out == ""


def test_class_names_are_printed_without_escape_sequences(tmp_path, capsys):
    x, y = two_classes()
    data = {"train": (x, y), "class_names": ["\x1b[31mred", "new\nline $猫$"]}
    cr.fit("resnet8_digits", data=data, workdir=tmp_path, **SHORT)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "new\nline" not in shown


def onednn_note(code: str, **variables: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"} | variables
    code += "; from cnnrecipes.training import preflight; print(preflight.leaves_onednn_off())"
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return result.stdout.split()[-1]


def test_import_of_tensorflow_that_leaves_onednn_off_is_detected(monkeypatch, tmp_path):
    """The import order is tested in a subprocess, the CPU features with a file in place of /proc/cpuinfo."""
    assert onednn_note("import cnnrecipes, tensorflow") == "False"
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setattr(preflight.platform, "system", lambda: "Linux")
    monkeypatch.setattr(preflight.platform, "machine", lambda: "x86_64")
    for flags, off in (("fpu avx2", True), ("fpu avx2 avx512_vnni", False)):
        (tmp_path / "cpuinfo").write_text(f"processor: 0\nflags\t\t: {flags}\n")
        monkeypatch.setattr(preflight, "_CPU_INFO", tmp_path / "cpuinfo")
        assert preflight.leaves_onednn_off() is off
