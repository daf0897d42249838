"""The tables of `cnnrecipes evaluate`: metrics of the split, with and without views, and its classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table
from rich.text import Text

from cnnrecipes._support.console import printable
from cnnrecipes.cli.result_printing import out

if TYPE_CHECKING:
    from cnnrecipes.runs.evaluation import Evaluation

_CLASSES = 20  # up to this many classes are all shown
_WORST = 10  # of more classes, those of the lowest recall


def print_tables(found: Evaluation) -> None:
    """Print the metrics of an evaluation below its accuracy, and precision, recall and F1 by class."""
    rows, plain = _metrics(found), _metrics(found["plain"]) if "plain" in found else {}
    columns = [Column("value", justify="right"), *([Column("plain", justify="right")] if plain else [])]
    metrics = Table(Column("metric"), *columns, box=None, pad_edge=False)
    for name in dict.fromkeys([*rows, *plain]):
        metrics.add_row(name, Text(rows.get(name, "")), *([Text(plain.get(name, ""))] if plain else []))
    out.print()
    out.print(metrics)
    _print_classes(found)


def document(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation for `--json`: its metrics, and the rows of all classes and of the reliability diagram."""
    from cnnrecipes.runs.calibration import calibration

    tables = {"classes": found.classes, "reliability": calibration(found.predictions).table}
    return {**found, **{name: table.to_dict("records") for name, table in tables.items()}}


def _metrics(found: Mapping[str, Any]) -> dict[str, str]:
    """Return name -> value of the metrics that an evaluation has."""
    shown: dict[str, tuple[str, Callable[[Any], str]]] = {
        "top5_accuracy": ("top-5 accuracy", "{:.2%}".format),
        "balanced_accuracy": ("balanced accuracy", "{:.2%}".format),
        "macro_f1": ("macro F1", "{:.2%}".format),
        "brier": ("Brier score", "{:.4f}".format),
        "calibration_error": ("calibration error", "{:.2%}".format),
        "temperature": ("temperature (validation)", "{:.3f}".format),
        "calibration_error_scaled": ("calibration error with it", "{:.2%}".format),
        "cross_entropy_scaled": ("cross entropy with it", "{:.4f}".format),
    }
    rows = {name: form(found[key]) for key, (name, form) in shown.items() if key in found}
    if "balanced_accuracy_95" in found:
        rows["balanced accuracy"] += _interval(found["balanced_accuracy_95"])
    if "accuracy_95_groups" in found:
        rows[f"accuracy, by {found['groups']:,} groups"] = f"{found['accuracy']:.2%}" + _interval(
            found["accuracy_95_groups"]
        )
    for row in found.get("coverage", ()):
        rows[f"surest {row['coverage']:.0%}: accuracy"] = f"{row['accuracy']:.2%}" + _interval(row["accuracy_95"])
        rows[f"surest {row['coverage']:.0%}: confidence >="] = f"{row['threshold']:.3f}"
    return rows


def _print_classes(found: Evaluation) -> None:
    from cnnrecipes.runs.classification_metrics import worst_first

    classes = found.classes
    few = len(classes) <= _CLASSES
    shown = classes if few else worst_first(classes).head(_WORST)
    names = ("n", "precision", "recall", "95% interval", "F1")
    table = Table(Column("class"), *(Column(name, justify="right") for name in names), box=None, pad_edge=False)
    for row in shown.to_dict("records"):
        interval = "" if row["n"] == 0 else _interval((row["recall_low"], row["recall_high"])).strip(" ()")
        shares = [_share(row[key]) for key in ("precision", "recall", "f1")]
        table.add_row(Text(printable(row["class"])), f"{row['n']:,}", *shares[:2], interval, shares[2])
    out.print()
    out.print(table)
    if not few:
        print(f"the {len(shown)} classes of the lowest recall, of {len(classes):,}; --json has all")


def _interval(bounds: Any) -> str:
    return f" ({bounds[0]:.1%} to {bounds[1]:.1%})"


def _share(value: float) -> str:
    return "" if value != value else f"{value:.1%}"
