"""Classes without images in a split are reported by `unmeasured_classes`, `fit` and `check_data`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import cnnrecipes
from cnnrecipes.data.audit.report import check_data
from cnnrecipes.data.sources.class_problems import unmeasured_classes
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.recipe.schema import Data

IMAGES = np.random.default_rng(0).integers(0, 256, (120, 8, 8, 3), dtype=np.uint8)
TINY = np.repeat(np.arange(6), [1, 1, 2, 3, 4, 4])  # classes of 1 to 4 images


def spec(**changes) -> Data:
    return Data(**{"name": "arrays", "image_size": 8, "validation": 0.0, **changes})


def tiny(**changes):
    return open_source((IMAGES[: len(TINY)], TINY), spec(**changes))


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"validation": 0.2}, {"validation": ["0", "1"]}),
        ({"validation": 0.2, "test": 0.2}, {"validation": ["0", "1", "2"], "test": ["0", "1"]}),
        ({"validation": 0.0}, {}),
    ],
)
def test_classes_absent_from_a_stratified_split_are_reported(changes, lines):
    found = unmeasured_classes(tiny(**changes))
    assert len(found) == len(lines)
    for line, (name, classes) in zip(found, lines.items(), strict=True):
        listed = ", ".join(map(repr, classes))
        assert f"the {name} split" in line
        assert f"none of {len(classes)} of 6 classes: {listed}; its metrics do not measure them" in line


@pytest.mark.parametrize("how", ["content", "groups", "folds", "content folds", "groups folds"])
@pytest.mark.parametrize("seed", range(4))
def test_classes_absent_from_any_split_are_reported(how, seed):
    """A class without training images raises; one without held-out images is reported."""
    labels = np.repeat(np.arange(6), [4, 4, 5, 6, 8, 9])
    frame = {"path": [f"{i}.png" for i in range(36)], "label": labels}
    frame |= {"group": np.arange(36) // 2} if "group" in how else {}
    changes = {"folds": 3} if "folds" in how else {"validation": 0.25}
    changes["split"] = "content" if "content" in how else "stratified"
    data = pd.DataFrame(frame) if "group" in how else (IMAGES[:36], labels)
    source = open_source(data, spec(split_seed=seed, **changes))
    assert set(source.split("train").labels) == set(range(6))
    lacking = [name for label, name in enumerate(source.class_names) if label not in source.split("validation").labels]
    lines = unmeasured_classes(source)
    assert len(lines) == bool(lacking)
    assert all(repr(name) in line for line in lines for name in lacking)


def test_fit_reports_classes_absent_from_validation_once(tmp_path, capsys):
    changes = {"data.image_size": 8, "data.batch_size": 8, "data.validation": 0.2, "data.channels": 3}
    cnnrecipes.fit(
        "resnet8_digits", data=(IMAGES[: len(TINY)], TINY), workdir=tmp_path, **{"train.epochs": 1, **changes}
    )
    assert capsys.readouterr().out.count("has none of 2 of 6 classes: '0', '1'") == 1


def test_check_data_reports_classes_too_small_to_split():
    report = check_data((IMAGES[: len(TINY)], TINY), progress=False)
    (found,) = [finding for finding in report.findings if finding.kind == "few images"]
    assert found.severity == "warning"
    assert "few images of '0' (1), '1' (1), '2' (2): a class needs 2" in found.message
    held = check_data(
        {part: (IMAGES[:12], np.arange(12) % 6) for part in ("train", "validation", "test")}, progress=False
    )
    assert not [finding for finding in held.findings if finding.kind == "few images"]
