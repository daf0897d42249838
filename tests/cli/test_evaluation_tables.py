"""The tables of `cnnrecipes evaluate`."""

from __future__ import annotations

import json

from made_predictions import drawn

from cnnrecipes.cli.evaluation_tables import print_tables
from cnnrecipes.runs.classification_metrics import classification_metrics
from cnnrecipes.runs.evaluation import Evaluation


def shown(capsys, predictions, **more) -> str:
    print_tables(Evaluation({**classification_metrics(predictions, 1.2), **more}, predictions))
    return capsys.readouterr().out


def test_evaluate_prints_metrics_and_classes(run_cli, digits_run):
    status, out, _ = run_cli("evaluate", str(digits_run.folder))
    assert status == 0
    test = digits_run.metrics["test"]
    low, high = test["balanced_accuracy_95"]
    assert f"{test['balanced_accuracy']:.2%} ({low:.1%} to {high:.1%})" in out
    scaled = next(line for line in out.splitlines() if line.startswith("temperature (validation)"))
    assert scaled.split()[-1] == f"{test['temperature']:.3f}"
    classes = [line.split()[:2] for line in out.splitlines() if line[:2] in {f"{i} " for i in range(10)}]
    assert [name for name, _ in classes] == list("0123456789")
    assert sum(int(n) for _, n in classes) == 359


def test_json_has_the_classes_and_the_reliability_diagram(run_cli, digits_run):
    status, out, _ = run_cli("evaluate", str(digits_run.folder), "--split", "validation", "--json")
    found = json.loads(out)
    classes, bins = found.pop("classes"), found.pop("reliability")
    assert sum(one["n"] for one in bins) == 179
    assert bins[0]["accuracy"] is None  # no confidence of 10 classes is so small
    assert (status, found) == (0, digits_run.metrics["validation"])
    assert [one["class"] for one in classes] == list("0123456789")
    assert set(classes[0]) == {
        "class", "n", "precision", "recall", "f1", "recall_low", "recall_high", "mean_confidence",
    }  # fmt: skip


def test_worst_of_many_classes_are_shown(capsys):
    out = shown(capsys, drawn(5000, 100))
    assert "the 10 classes of the lowest recall, of 100" in out
    assert sum(line.startswith("c") and line[1].isdigit() for line in out.splitlines()) == 10


def test_few_classes_and_images(capsys):
    """Two images of two of the three classes; control characters and markup are text."""
    predictions = drawn(2, 3, names=("[bold]x", "\x1b[2J", "b"))
    out = shown(capsys, predictions)
    assert "[bold]x" in out
    assert r"\x1b[2J" in out
    assert "top-5" not in out
    assert "nan" not in out


def test_plain_metrics_stand_beside_those_of_views(capsys):
    predictions = drawn(300, 8, groups=[str(i // 30) for i in range(300)])
    plain = classification_metrics(predictions, 1.3)
    out = shown(capsys, predictions, plain={**plain, "macro_f1": 0.125})
    row = next(line for line in out.splitlines() if line.startswith("macro F1"))
    assert row.endswith("12.50%")
    assert "by 10 groups" in out
