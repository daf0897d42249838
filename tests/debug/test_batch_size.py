"""The batch-size finder: its search on computed memory and speed, and real trials in their processes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from doc_blocks import run_block

import cnnrecipes as cr
from cnnrecipes.debug.batch_size import Search
from cnnrecipes.debug.batch_trial import BatchTrial, limit_on, run_trial
from cnnrecipes.errors import DataError, OutOfMemory, TrainingError
from cnnrecipes.recipe import catalog

MIB = 2**20
RECIPE = catalog.load("resnet8_digits").change(**{"model.depths": [1], "model.widths": [16]})
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
DATA = {"train": (IMAGES, np.arange(20) % 2), "validation": (IMAGES[:4], np.arange(4) % 2)}


class Machine:
    """A machine of given memory: a step takes 1 ms and 0.1 ms an image, and so many MiB."""

    def __init__(self, memory, base=100.0, per_image=1.0, images=10**6, gpu=False, step=0.0001):
        self.memory, self.base, self.per_image = memory, base, per_image
        self.images, self.gpu, self.step = images, gpu, step
        self.step_memory = 0.0  # MiB of a step of any size
        self.tried = []

    def __call__(self, size):
        self.tried.append(size)
        peak = self.base + self.step_memory + self.per_image * size
        if self.base > self.memory:
            return BatchTrial(size, False, int(self.memory * MIB))
        base, known = int(self.base * MIB), {"images": self.images, "gpu": self.gpu}
        if peak > self.memory:
            return BatchTrial(size, False, int(self.memory * MIB), base, **known)
        return BatchTrial(size, True, int(peak * MIB), base, 0.001 + self.step * size, **known)


def search(machine, **options):
    options = {"limit": None if machine.gpu else int(machine.memory * MIB), "asked": not machine.gpu, **options}
    return Search(machine, **options).run()


def test_largest_power_of_two_that_fits_is_found_without_a_trial_beyond_the_limit():
    machine = Machine(memory=1000)
    found = search(machine)
    assert found.largest == 512
    assert max(machine.tried) == 512  # 1024 is extrapolated
    assert "1024 would need about 1.1 GiB" in str(found)


def test_memory_of_any_step_is_not_taken_for_that_of_images():
    """With one trial it might be: a smaller one shows that 16 images take hardly more than 8."""
    machine = Machine(memory=150, per_image=0.1)
    machine.base, machine.step_memory = 100, 45.0
    found = search(machine)
    assert machine.tried[:3] == [8, 4, 16]
    assert found.largest == 32  # 100 + 45 + 3.2 of 150 MiB


def test_gpu_is_filled_until_its_memory_is_exhausted():
    machine = Machine(memory=1000, gpu=True)
    found = search(machine)
    assert found.largest == 512
    assert max(machine.tried) == 1024
    assert found.end == "1024 does not fit"
    assert "fits into the GPU's memory" in str(found)


def test_refinement_ends_within_an_eighth():
    machine = Machine(memory=1000)
    assert search(machine, refine=True).largest == 896  # 100 + 896 < 1000 < 100 + 960


def test_no_size_exceeds_the_training_images():
    machine = Machine(memory=10**6, images=100)
    found = search(machine, refine=True)
    assert found.largest <= 100
    assert max(machine.tried) <= 100
    assert "128 would be more than the 100 training images" in found.end
    machine = Machine(memory=10**6, images=5)
    assert search(machine).largest == 4


def test_sizes_that_take_too_long_are_not_tried():
    machine = Machine(memory=10**6, step=0.1)
    found = search(machine, seconds=60)
    assert found.largest == 128
    assert "a step of 256 would take about 26 s" in found.end


def test_smaller_sizes_are_tried_if_the_first_does_not_fit():
    machine = Machine(memory=350, per_image=100)
    assert search(machine).largest == 2
    assert machine.tried == [8, 4, 2]


def test_sizes_are_multiples_of_the_microbatches():
    machine = Machine(memory=1000)
    search(machine, unit=6, refine=True)
    assert all(size % 6 == 0 for size in machine.tried)


def test_smallest_size_within_five_percent_of_the_best_speed_is_recommended():
    found = search(Machine(memory=1000))
    speeds = {trial.batch_size: trial.images_per_second for trial in found.trials}
    fast = [size for size, speed in speeds.items() if speed >= 0.95 * max(speeds.values())]
    assert found.recommended == min(fast) == 256
    assert "set data.batch_size=256" in str(found)


def test_no_size_fits_raises():
    with pytest.raises(OutOfMemory, match="not even a batch of 1 fits into the limit of 150 MiB"):
        search(Machine(memory=150, per_image=100))
    with pytest.raises(OutOfMemory, match="not even a batch of 2 fits into the memory of the GPU"):
        search(Machine(memory=150, per_image=100, gpu=True), unit=2)


def test_limit_below_the_model_raises_after_one_trial():
    machine = Machine(memory=50)
    with pytest.raises(OutOfMemory, match="the limit of 50 MiB is below what the process needs before its first step"):
        search(machine)
    assert len(machine.tried) == 1


@pytest.mark.parametrize("memory", ["8 gigs", "8", 0, -1, True])
def test_memory_that_is_not_understood_raises(memory):
    with pytest.raises(TrainingError, match=r"the limit of the memory is .*; memory is a number with its unit"):
        cr.find_batch_size("resnet8_digits", memory=memory)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_seconds_that_are_no_time_are_refused(seconds):
    with pytest.raises(TrainingError, match=rf"\(--seconds\) are {seconds:g}; give a number above 0, for example 60"):
        cr.find_batch_size("resnet8_digits", seconds=seconds)


def test_unknown_memory_of_a_cpu_needs_a_limit():
    with pytest.raises(TrainingError, match="the available memory is unknown on this system; give a limit"):
        search(Machine(memory=1000), limit=None, asked=False)


@pytest.fixture(scope="module")
def found():
    """By the example of the documentation."""
    replace = {'"resnet8_digits"': "RECIPE, DATA"}
    return run_block("debugging.md", "Batch size", replace, RECIPE=RECIPE, DATA=DATA)["found"]


def test_real_trials_measure_memory_and_speed(found):
    assert [trial.batch_size for trial in found.trials] == [8, 16]
    assert found.end == "32 would be more than the 16 training images"
    assert all(100 * MIB < trial.base <= trial.memory < 4 * 2**30 for trial in found.trials)
    assert (found.table["images_per_second"] > 0).all()
    assert json.loads(json.dumps(found.record()))["largest"] == 16


def test_real_trial_that_exceeds_its_limit_ends_itself():
    trial = run_trial(RECIPE.to_dict(), "a", DATA, 8, 200 * MIB, 300.0)
    assert not trial.fits
    assert trial.memory > 200 * MIB
    assert math.isnan(trial.step)


def test_error_of_a_trial_is_that_of_fit():
    with pytest.raises(DataError, match="/no/such/folder"):
        cr.find_batch_size("resnet8_digits", "/no/such/folder", memory="4GiB", progress=False)


def test_data_that_cannot_be_copied_is_named():
    with pytest.raises(TrainingError, match="data of type .* cannot be given to another process"):
        run_trial({}, "a", lambda: 0, 8, None, 1.0)


def test_memory_of_the_host_is_no_limit_of_a_gpu():
    assert limit_on(gpu=True, limit=8 * MIB, asked=False) is None
    assert limit_on(gpu=True, limit=8 * MIB, asked=True) == 8 * MIB
    assert limit_on(gpu=False, limit=8 * MIB, asked=False) == 8 * MIB
