"""Trainings of each way of transfer learning, killed by a real SIGKILL, resume bit-exactly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from adaptation import NARROW, SMALL, write_photos

import cnnrecipes as cr
from cnnrecipes.runs import checkpoint
from cnnrecipes.verify.resume_check import differences

WAYS = {
    "lora": {"transfer.how": "lora", "transfer.rank": 2, "transfer.update_rate": 1.0},
    "all_layers": {"transfer.how": "finetune", "optimizer.ema": 0.9, "augment.ops": ["flip_lr"]},
    "cached_outputs_of_frozen_stages": {
        "transfer.how": "finetune",
        "transfer.train_from": "stage2",
        "optimizer.lookahead": 2,
        "train.microbatches": 2,
    },
    "linear_head_on_features": {"transfer.how": "features", "transfer.head": "linear", "optimizer.ema": 0.9},
}

# Trains in a process for each training, which is killed in the fifth step, when there is a checkpoint; prints how each
# ended. They are forked after the imports, which take longer than a training, and before any use of TensorFlow.
KILLED = """
import json, os, signal, sys, time
from pathlib import Path
import keras
from cnnrecipes.fit import complete_recipe, find_start, train_from
from cnnrecipes.recipe import catalog
from cnnrecipes.runs import checkpoint

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if self.model.progress.total_steps == 5:
            while not checkpoint.found(workdir / name):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

photos, workdir, trainings = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
ends = {}
for name, settings in trainings.items():
    if not (child := os.fork()):
        try:
            start = find_start(complete_recipe(catalog.load("resnet20_cifar"), photos, None, settings))
            train_from(start, photos, workdir=workdir, name=name, progress=False, callbacks=lambda job: [Kill()])
        finally:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    ends[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(ends))
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> str:
    return str(write_photos(tmp_path_factory.mktemp("photos"), train=48))


@pytest.fixture(scope="module")
def trainings(pretrained) -> dict[str, dict]:
    """The settings of the training of each way."""
    shared = {"model.weights": str(pretrained.folder), "transfer.cross_validation": "never", "train.epochs": 2}
    aside = {"logging.report": "off", "logging.watch": "off"}
    return {name: {**SMALL, **NARROW, **aside, **shared, **more} for name, more in WAYS.items()}


@pytest.fixture(scope="module")
def killed(photos, trainings, tmp_path_factory) -> Path:
    """The folder of the killed runs."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-c", KILLED, photos, str(folder), json.dumps(trainings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == dict.fromkeys(WAYS, -signal.SIGKILL), done.stderr
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_training_killed_by_sigkill_resumes_bit_exactly(killed, photos, trainings, tmp_path, way):
    run = cr.fit("resnet20_cifar", photos, workdir=tmp_path, name=way, progress=False, **trainings[way])
    assert 1 <= checkpoint.newest(killed / way).state.total_steps <= 5
    resumed = cr.resume(killed / way, progress=False)
    assert differences(run, resumed) == []
    assert resumed.metrics == run.metrics
