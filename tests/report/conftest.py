"""Shared fixture: a real run with all that can be measured of it."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

import cnnrecipes as cr
from cnnrecipes.debug.label_issues import write_label_issues
from cnnrecipes.debug.profile import Profile
from cnnrecipes.debug.step_timing import StepTimes
from cnnrecipes.explain import CORRUPTIONS, explain_run
from cnnrecipes.runs.records import ROBUSTNESS

JUDGED = (0, 2, 6)  # positions of images of the training and the validation split of the digits


@pytest.fixture(scope="session")
def measured_run(digits_run, tmp_path_factory) -> cr.Run:
    """A run with a real map of its features, and with label errors, robustness and a profile; with its report."""
    run = cr.Run.open(shutil.copytree(digits_run.folder, tmp_path_factory.mktemp("measured") / "run"))
    explain_run(run, run.folder / "explained", parts=["embedding"], split="test", progress=False)
    issues = [(f"train[{i}]", i, "4", "9", 0.1) for i in JUDGED]
    columns = ["file", "position", "given", "suggested", "score"]
    write_label_issues(pd.DataFrame(issues, columns=columns), run.folder / "label_issues.csv")
    rows = [(one, level, 0.9 - 0.15 * level, 359) for one in CORRUPTIONS for level in range(1, 6)]
    table = pd.DataFrame([("none", 0, 0.95, 359), *rows], columns=["corruption", "strength", "accuracy", "n"])
    table.assign(split="test").to_csv(run.folder / ROBUSTNESS, index=False)
    times = StepTimes(whole=0.1, augmentation=0.0, forward=0.03, backward=0.06, update=0.01)
    Profile("a", "resnet8", "CPU", 64, times, 0.11, 0.02, {"read": 0.6, "augmentation": 0.4}).keep(run)
    cr.write_report(run)
    return run
