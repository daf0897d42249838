"""The answer: what was trained, on what, how good it is with its interval, the diagnosis, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from markupsafe import Markup

from cnnrecipes.diagnosis.finding import Remedy
from cnnrecipes.errors import counted
from cnnrecipes.report.facts import FINAL, Facts
from cnnrecipes.report.section import Section, duration, percent, render
from cnnrecipes.report.small_charts import interval_chart
from cnnrecipes.runs.records import CROSS_VALIDATION, PARAMETERS, TRAINABLE

_REMEDIES = 4
_MORE = {
    "top5_accuracy": "top-5 accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "mean F1 of the classes",
    "calibration_error": "calibration error",
}


@dataclass(frozen=True)
class Result:
    """The accuracy that a report begins with.

    Attributes:
        accuracy: 0..1.
        interval: 95%; None: not known.
        n: number of images; 0: not known.
        what: what it was measured on, as the end of "right on ...".
        caution: a sentence about its bias; "" without any.
    """

    accuracy: float
    interval: tuple[float, float] | None
    n: int
    what: str
    caution: str = ""


def answer(facts: Facts) -> Section:
    """Return the result of a run, in any state of it."""
    result, diagnosis = result_of(facts), facts.diagnosis
    chart = Markup("")
    if result is not None and result.interval is not None:
        chart = interval_chart(result.accuracy, *result.interval, _chance(facts), "answer-interval")
    body = render(
        "answer.html",
        result=result,
        chart=chart,
        trained=_trained(facts),
        state=_state(facts),
        tone=_tone(facts),
        diagnosis=diagnosis.without_remedies if diagnosis is not None else "",
        verdict=diagnosis.verdict.replace("_", " ") if diagnosis is not None else "",
        no_diagnosis=facts.why.get("diagnosis", ""),
        remedies=_remedies(facts),
        commands=_commands(facts),
        numbers=_numbers(facts),
    )
    return Section("answer", "Result", body)


def result_of(facts: Facts) -> Result | None:
    """Return the accuracy of the test split; without one that of the validation split; None without both."""
    for split in FINAL:
        metrics = (facts.metrics or {}).get(split)
        if metrics:
            low, high = metrics["accuracy_95"]
            caution = (
                "There is no test split. The validation split also selected what was saved, so this accuracy is a "
                "little too high."
                if split == "validation"
                else ""
            )
            what = f"{counted(metrics['n'], f'{split} image')}"
            return Result(metrics["accuracy"], (low, high), metrics["n"], what, caution)
    history = facts.history
    if history is None or "val_accuracy" not in history or facts.best_epoch is None:
        return None
    row = history[history["epoch"] == facts.best_epoch]
    if row.empty:
        return None
    best = float(row["val_accuracy"].iloc[0])
    return Result(best, None, 0, f"the validation split after epoch {facts.best_epoch}, the best so far")


def _trained(facts: Facts) -> str:
    """Return what was trained on what, in one sentence."""
    recipe, metrics = facts.recipe, facts.metrics or {}
    model = recipe.model.name
    if PARAMETERS in metrics:
        whole, part = metrics[PARAMETERS], metrics.get(TRAINABLE, metrics[PARAMETERS])
        model += f" ({whole:,} parameters{f', {part:,} of them trained' if part != whole else ''})"
    if recipe.model.weights != "none":
        model += f" with weights {PurePath(recipe.model.weights).name!r}"
    images = f"{counted(facts.images['train'], 'training image')} of " if "train" in facts.images else ""
    count = len(facts.class_names)
    classes = f" in {count:,} {'class' if count == 1 else 'classes'}" if count else ""
    size = f", {facts.image_shape[0]} \u00d7 {facts.image_shape[1]} pixels" if facts.image_shape else ""
    how = "" if recipe.transfer.how == "none" else f" by transfer learning ({recipe.transfer.how})"
    name = PurePath(recipe.data.name).name or recipe.data.name  # of a folder; the section on the data has its path
    return f"{model} was trained{how} on {images}{name}{classes}{size}."


def _state(facts: Facts) -> str:
    """Return how far the training is, in one sentence."""
    planned, done = facts.recipe.train.epochs, facts.epochs
    if not facts.recipe.transfer.trains_by_steps:
        return "Finished: logistic regression on frozen features." if facts.state == "finished" else "Not finished."
    if facts.state == "training":
        return f"Training: {done} of {counted(planned, 'epoch')} done in {duration(facts.seconds)}."
    if facts.state == "diverged" and facts.failure:
        failure = facts.failure
        return f"Ended in epoch {failure['epoch']}: the loss became {failure['loss']} at step {failure['step']:,}."
    if facts.state == "unfinished":
        return f"Not finished: {done} of {counted(planned, 'epoch')}."
    kept = {None: "", 0: "; no epoch was better than the start, which is saved"}.get(
        facts.best_epoch, f"; the weights of epoch {facts.best_epoch} are saved"
    )
    early = f" of {planned}" if 0 < done < planned else ""
    return f"Finished: {done}{early} {'epoch' if planned == 1 else 'epochs'} in {duration(facts.seconds)}{kept}."


def _tone(facts: Facts) -> str:
    """Return the class of the diagnosis in the style sheet: "good", "warn" or "bad"."""
    if facts.diagnosis is None:
        return "bad" if facts.state == "diverged" else "plain"
    if not facts.diagnosis.ok:
        return "bad"
    return "good" if all(one.severity == "note" for one in facts.diagnosis.findings) else "warn"


def _remedies(facts: Facts) -> list[Remedy]:
    if facts.diagnosis is None:
        return []
    found: dict[str, Remedy] = {}
    for finding in facts.diagnosis.findings:
        for remedy in finding.remedies:
            found.setdefault(remedy.change.partition("=")[0], remedy)
    return list(found.values())[:_REMEDIES]


def _commands(facts: Facts) -> list[tuple[str, str]]:
    """Return the commands that go on from here, each with what it does."""
    folder = shlex.quote(str(facts.run.folder))
    if facts.state == "training":
        return []
    if facts.state == "finished":
        return [
            (f"cnnrecipes predict {folder} photo.jpg", "use the model"),
            (f"cnnrecipes diagnose {folder}", "examine the training with the model's predictions"),
        ]
    if facts.state == "diverged":
        return [(f"cnnrecipes diagnose {folder}", "examine the training")]
    return [(f"cnnrecipes resume {folder}", "continue the training")]


def _numbers(facts: Facts) -> list[tuple[str, str, str]]:
    """Return more numbers: name, value, and a remark."""
    metrics, found = facts.metrics or {}, []
    first = next((split for split in FINAL if split in metrics), "")
    for split in FINAL:
        if split not in metrics:
            continue
        one = metrics[split]
        low, high = one["accuracy_95"]
        if split != first:  # the page begins with that
            found.append((f"{split} accuracy", percent(one["accuracy"]), f"{low:.1%} to {high:.1%}, n = {one['n']:,}"))
        found.append((f"{split} cross entropy", f"{one['cross_entropy']:.3f}", "nats"))
        for key, title in _MORE.items() if split == first else ():
            if isinstance(one.get(key), (int, float)):
                found.append((title, percent(one[key]), split))
    if CROSS_VALIDATION in metrics:
        one = metrics[CROSS_VALIDATION]
        found.append(("cross-validation", percent(one["accuracy"]), f"{one['folds']} folds, n = {one['n']:,}"))
    return found


def _chance(facts: Facts) -> float | None:
    """Return the accuracy of the best constant answer: the share of the largest class where it is known."""
    if facts.final is not None and len(facts.final.truth):
        return float(np.bincount(facts.final.truth).max() / len(facts.final.truth))
    return 1 / len(facts.class_names) if facts.class_names else None
