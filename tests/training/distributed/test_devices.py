"""Data parallelism over the devices of one process and over several worker processes on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.data import batching
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.errors import RecipeError, TrainingError
from cnnrecipes.recipe import schema
from cnnrecipes.recipe.toml import parse_override
from cnnrecipes.runs import checkpoint
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.distributed.launcher import _free_ports

# Of weights up to 1 after a training at a low rate, where roundings do not grow: gradients of two halves are summed in
# another order than those of the whole. Gradients that are summed wrongly differ by more than 0.01.
TOLERANCE = 2e-5
LEARNING_RATE = 0.001
CHANGES = [
    "train.epochs=2", f"optimizer.learning_rate={LEARNING_RATE}", "model.norm=group", "model.depths=[1]",
    "model.widths=[16]", 'augment.ops=["pad_crop(1)", "mixup"]', "logging.checkpoint_every=5 steps",
    "logging.watch=20 steps", "logging.loggers=[]", "logging.report=off",
]  # fmt: skip
TRAINING = ["resnet8_digits", *CHANGES]


def config(index, workers):
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


def test_multi_worker_without_cluster_or_with_a_used_port_raises(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(TrainingError, match="neither TF_CONFIG nor SLURM names"):
        Devices.open("multi_worker")
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("TF_CONFIG", config(0, [f"localhost:{port}", "localhost:1"]))
        with pytest.raises(TrainingError, match=rf"port {port} of worker 0 .* cannot be used"):
            Devices.open("multi_worker")


SOURCE = open_source(
    (np.arange(100 * 16, dtype=np.uint8).reshape(100, 4, 4, 1), np.arange(100) % 4), schema.Data(name="a")
)
STATISTICS = Statistics((120.0,), (60.0,))


def whole_recipe(**changes):
    tables = {"data": {"name": "a", "batch_size": 16}, "model": {"name": "resnet8"}, "train": {"epochs": 2}}
    return schema.Recipe.from_dict(tables, "test").change(**{"augment.ops": ["pad_crop(1)", "mixup"], **changes})


@pytest.mark.parametrize(("shards", "batch_size"), [(2, 16), (4, 8)])
def test_shards_of_a_batch_concatenate_to_the_batch(shards, batch_size):
    """Order, augmentation and mixing are independent of the number of devices, down to two images on each."""
    split, spec = SOURCE.split("train"), whole_recipe(**{"data.batch_size": batch_size})
    whole = list(batching.training_batches(split, spec, STATISTICS, 4).as_numpy_iterator())
    each = [
        list(batching.training_batches(split, spec, STATISTICS, 4, shard=(i, shards)).as_numpy_iterator())
        for i in range(shards)
    ]
    for step, (images, labels) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[step][0] for part in each]), images)
        np.testing.assert_array_equal(np.concatenate([part[step][1] for part in each]), labels)


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_validation_covers_every_example_once_on_any_number_of_shards(shards):
    split, spec = SOURCE.split("train"), whole_recipe()
    each = [
        list(batching.evaluation_batches(split, spec.data, 4, shard=(i, shards)).as_numpy_iterator())
        for i in range(shards)
    ]
    assert {len(batches) for batches in each} == {batching.evaluation_steps(split, shards)}
    seen = [image.tobytes() for part in each for images, _, weights in part for image in images[weights > 0]]
    assert sorted(seen) == sorted(split.read(i)[0].tobytes() for i in range(len(split)))


def test_batch_size_not_divisible_by_shards_is_refused():
    split = SOURCE.split("train")
    with pytest.raises(RecipeError, match="16 does not divide into 3 shards"):
        batching.training_batches(split, whole_recipe(), STATISTICS, 4, shard=(0, 3))
    with pytest.raises(RecipeError, match="4 devices with 3 images each cannot mix"):
        batching.training_batches(split, whole_recipe(**{"data.batch_size": 12}), STATISTICS, 4, shard=(0, 4))


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "cnnrecipes", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        timeout=300,
    )


def final_arrays(folder):
    """The arrays of the newest checkpoint of the only run in a folder."""
    (run,) = folder.iterdir()
    return checkpoint.newest(run).arrays


def largest_difference(one, other):
    assert one.keys() == other.keys()
    return max(np.abs(one[name] - other[name]).max() for name in one if name.startswith(("model", "optimizer")))


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """The folder and the output of an undisturbed training by two processes."""
    folder = tmp_path_factory.mktemp("two")
    result = command("launch", "--workers", 2, "--threads", 1, "fit", *TRAINING, "--workdir", folder)
    assert result.returncode == 0, result.stdout[-2000:]
    return folder, result.stdout


def test_two_workers_match_one_process(two_workers, tmp_path):
    folder, said = two_workers
    found = re.findall(r"worker (\d) of 2: last losses ([\d., ]+); weights (\w{16})", said)
    assert sorted(index for index, *_ in found) == ["1", "2"]
    assert len({tuple(rest) for _, *rest in found}) == 1
    one = cr.fit("resnet8_digits", workdir=tmp_path, progress=False, **dict(map(parse_override, CHANGES)))
    two = cr.load(next(folder.iterdir()))
    assert largest_difference(final_arrays(folder), final_arrays(tmp_path)) < TOLERANCE
    assert one.metrics["test"]["n"] == two.metrics["test"]["n"] == len(two.predictions("test")) == 359
    assert (two.folder / "README.md").is_file()
    np.testing.assert_allclose(one.history.val_loss, two.history.val_loss, rtol=1e-5)
    assert two.watch()["step"].tolist() == one.watch()["step"].tolist()  # by the chief alone


def test_killed_worker_is_reported_and_training_resumes_bit_exactly(two_workers, tmp_path):
    arguments = ["launch", "--workers", "2", "--threads", "1", "fit", *TRAINING, "--workdir", str(tmp_path / "runs")]
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnrecipes", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/checkpoints/step_*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(children[1]), signal.SIGKILL)
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    (run,) = (tmp_path / "runs").iterdir()
    assert not (run / "metrics.json").exists()
    assert "another worker has ended" in said
    assert f"cnnrecipes resume {run}" in said
    result = command("launch", "--workers", 2, "--threads", 1, "resume", run)
    assert result.returncode == 0, result.stdout[-2000:]
    undisturbed, resumed = final_arrays(two_workers[0]), final_arrays(tmp_path / "runs")
    assert all(
        undisturbed[name].tobytes() == resumed[name].tobytes() for name in undisturbed if name.startswith("model")
    )


@pytest.fixture(scope="module")
def two_devices(tmp_path_factory):
    """The folder and the output of trainings on two logical devices and on one, in a process of their own."""
    folder = tmp_path_factory.mktemp("two_devices")
    program = textwrap.dedent(
        f"""
        import cnnrecipes as cr, tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        changes = {{"train.epochs": 1, "model.depths": [1], "model.widths": [16], "optimizer.warmup": "0 epochs"}}
        changes |= {{"optimizer.learning_rate": {LEARNING_RATE}, "logging.loggers": [], "logging.report": "off"}}
        changes |= {{"model.norm": "batch", "train.sync_batch_norm": True}}
        def train(name, **more):
            cr.fit("resnet8_digits", workdir={str(folder)!r}, name=name, progress=False, **changes, **more)
        train("single", **{{"devices.strategy": "single"}})
        changes["devices.strategy"] = "mirrored"
        train("mirrored", **{{"logging.watch": "off"}})
        train("watched", **{{"logging.watch": "10 steps"}})
        try:
            train("refused", **{{"data.batch_size": 63}})
        except cr.RecipeError as error:
            print(error)
        """
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, done.stdout


def test_mirrored_strategy_matches_a_single_device(two_devices):
    """Synchronized batch norm has the same statistics as the whole batch."""
    folder, _ = two_devices
    one, two = (checkpoint.newest(folder / name).arrays for name in ("single", "mirrored"))
    assert largest_difference(one, two) < TOLERANCE


def test_two_devices_are_watched_without_a_change(two_devices):
    """Synchronized batch norm reduces over the devices in the step; the probe must not."""
    folder, _ = two_devices
    on, off = (checkpoint.newest(folder / name).arrays for name in ("watched", "mirrored"))
    assert all(on[name].tobytes() == off[name].tobytes() for name in off)
    assert sorted(set(cr.Run(folder / "watched").watch()["step"])) == [0, 1, 2, 4, 8, 9]


def test_indivisible_batch_size_is_refused_before_run_folder_creation(two_devices):
    folder, said = two_devices
    assert "a batch of 63 images does not divide among 2 device(s)" in said
    assert not (folder / "refused").exists()


def test_worker_reports_the_failure_of_its_chief(tmp_path):
    addresses = [f"localhost:{port}" for port in _free_ports(2)]
    (tmp_path / "file").touch()
    workers = []
    for index, workdir in enumerate([tmp_path / "file" / "runs", tmp_path / "runs"]):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": config(index, addresses)}
        workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "cnnrecipes", "fit", *TRAINING, "--workdir", str(workdir)],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    said = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [2, 2]
    assert "cannot write a run folder" in said[0]
    assert "another worker has ended" in said[1]
    assert "Traceback" not in said[1]
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_stops_waiting_for_other_workers(tmp_path):
    addresses = [f"localhost:{port}" for port in _free_ports(2)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": config(0, addresses)}
    program = (
        "import os, tensorflow as tf, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # the parent of the test may ignore it
        "import cnnrecipes as cr\n"
        f"print('ready', flush=True)\ncr.fit('resnet8_digits', workdir={str(tmp_path)!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) != 0
    assert not list(tmp_path.iterdir())
