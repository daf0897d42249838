"""Transfer learning by two workers on unlike machines, compared with one process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from adaptation import NARROW, SMALL, write_photos

import cnnrecipes as cr
from cnnrecipes.runs import checkpoint
from cnnrecipes.training.distributed.launcher import _free_ports

# Of weights that differ by rounding: sums over two halves of a batch, and convolutions of another processor.
TOLERANCE = 2e-5
# As on an older processor: convolutions and matrix products that round otherwise. Ignored where it does not apply.
OLDER = {"ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Nehalem"}
TRAIN = """
import json, sys
import cnnrecipes as cr
for data, name, settings in json.loads(sys.argv[1]):
    try:
        cr.fit("resnet20_cifar", data, workdir=sys.argv[2], name=name, **settings)
    except cr.TrainingError as error:
        print("error:", error)
"""


LINEAR = {"transfer.how": "features", "transfer.train_from": "all", "transfer.head": "linear"}


def settings(pretrained, **more) -> dict:
    """Settings of a training that is to choose fine-tuning, and trains the last stage on cached outputs of others."""
    chosen = {"transfer.how": "auto", "transfer.train_from": "stage2", "transfer.cross_validation": "always"}
    kinds = {"optimizer.ema": 0.9, "train.microbatches": 2, "train.time_budget": "60 min", "train.artifact": "last"}
    shared = {"model.weights": str(pretrained.folder), "logging.report": "off", "logging.watch": "off"}
    return {**SMALL, **NARROW, "train.epochs": 1, **shared, **chosen, **kinds, **more}


def write_ambiguous_photos(folder: Path) -> Path:
    """Write photos of which the features do not separate the classes a and b, so that there is something to gain."""
    write_photos(folder, train=160, validation=20)
    for path in folder.rglob("a/*.png"):
        if int(path.stem) % 2:
            path.rename(path.parents[1] / "b" / path.name)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_ambiguous_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def two_workers(pretrained, photos, tmp_path_factory):
    """The folder of runs, and the outputs of two workers: two trainings that are refused, and one, each in turn."""
    folder, ports = tmp_path_factory.mktemp("workers"), _free_ports(2)
    addresses, workers = [f"localhost:{port}" for port in ports], []
    other = write_photos(folder / "other", train=12)
    for index in range(2):
        runs = [
            ((photos, other)[index], "data", settings(pretrained)),
            (photos, "seed", settings(pretrained, **LINEAR, **{"train.seed": index})),
            (photos, "run", settings(pretrained)),
        ]
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config), "CNNRECIPES_CACHE": str(folder / f"cache{index}")}
        command = [sys.executable, "-c", TRAIN, json.dumps(runs, default=str), str(folder)]
        environment |= {"TF_NUM_INTRAOP_THREADS": "1", **(OLDER if index else {})}
        workers.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    said = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    return folder, said


def test_workers_on_unlike_processors_choose_and_train_alike_and_as_one_process(
    two_workers, pretrained, photos, tmp_path
):
    folder, said = two_workers
    found = [re.findall(r"worker \d of 2: last losses ([\d.]+); weights (\w{16})", text) for text in said]
    assert found[0] == found[1]
    assert len(found[0]) == 1
    alone = settings(pretrained, **{"transfer.cross_validation": "never"})  # takes half of the time
    one = cr.fit("resnet20_cifar", str(photos), workdir=tmp_path, progress=False, **alone)
    two = cr.Run.open(folder / "run")
    assert one.recipe.transfer.how == two.recipe.transfer.how == "finetune"
    arrays, others = (checkpoint.newest(run.folder).arrays for run in (one, two))
    assert arrays.keys() == others.keys()
    for name in arrays:
        if name.startswith(("model", "averages")):
            np.testing.assert_allclose(arrays[name], others[name], atol=TOLERANCE)
    assert two.metrics["cross_validation"]["n"] == 180


def test_the_chief_alone_computes_features_for_the_head(two_workers):
    """Its cache has those of the head and the outputs of the frozen stages, for both splits; the other only these."""
    folder, _ = two_workers
    assert [len(list((folder / f"cache{index}" / "features").glob("*.npy"))) for index in range(2)] == [4, 2]


def test_workers_with_unlike_data_or_weights_are_refused(two_workers):
    folder, said = two_workers
    for index, counts in enumerate(("{'train': 160, 'validation': 20}", "{'train': 12, 'validation': 8}")):
        assert re.search(rf"error: the workers have different data; worker {index + 1} .*{counts}", said[index])
        assert "error: the workers start with different weights; worker" in said[index]
    assert not (folder / "data").exists()
    assert not (folder / "seed").exists()
