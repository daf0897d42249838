"""Tables and lines that the commands print: recipes, a data check, the stages of a model, metrics, predictions."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from cnnrecipes._support.cache_contents import KINDS
from cnnrecipes._support.cache_pruning import LIMIT
from cnnrecipes._support.console import printable, say
from cnnrecipes._support.memory_sizes import memory_text
from cnnrecipes._support.text_wrapping import NARROW, wrap
from cnnrecipes.errors import counted

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from cnnrecipes._support.cache_contents import CacheUsage, Cleared
    from cnnrecipes.comparison.head_comparison import HeadComparison
    from cnnrecipes.comparison.result import Comparison
    from cnnrecipes.data.audit.report import Report
    from cnnrecipes.debug.checks.check import Check
    from cnnrecipes.debug.rate_grid_result import RateGrid
    from cnnrecipes.debug.rate_sweep import RateSweep
    from cnnrecipes.runs.run import Run
    from cnnrecipes.runs.trained_model import Prediction

_CLASSES = 40  # rows of the table of classes
_WIDE = 200  # columns of a table in a file or a pipe that is not wrapped
_KEPT = 8  # paths that could not be deleted
_FILES = 3  # files of a finding
_GROUPS, _MEMBERS = 3, 5  # groups of a finding, and files of a group
_STATUSES = {"ok": "green", "warning": "dark_orange3", "FAIL": "bold red", "cannot tell": "dim"}
_SEVERITIES = {"error": "bold red", "warning": "dark_orange3", "note": "dim"}
_CROSS_VALIDATION_MEANS = (
    "It tests every training and validation image with heads fitted without it, so it depends less on one split than "
    "the validation accuracy does; it measures the frozen features, not what training the backbone adds."
)

out = Console(soft_wrap=True, highlight=False)


def print_recipes(summaries: Mapping[str, str]) -> None:
    """Print recipe names with their summaries."""
    table = _table("recipe", "summary")
    for name, summary in summaries.items():
        table.add_row(name, summary)
    out.print(table)


def print_models(models: pd.DataFrame) -> None:
    """Print architectures: sizes in millions, image size, published accuracy, width multipliers."""
    import pandas as pd

    right = [Column(title, justify="right") for title in ("parameters", "multiply-adds", "image size", "top-1")]
    table = _table("model", *right, "ImageNet weights")
    for row in models.to_dict("records"):
        weights = (f"alpha {row['alphas']}" if row["alphas"] else "yes") if row["imagenet_weights"] else ""
        top1 = "" if pd.isna(row["top1"]) else f"{row['top1']:.1f}"
        sizes = ("" if pd.isna(n) else f"{n / 1e6:,.1f} M" for n in (row["parameters"], row["multiply_adds"]))
        table.add_row(row["model"], *sizes, row["image_size"], top1, weights)
    out.print(table)


def print_cache(contents: Sequence[CacheUsage], folder: Path, limit: int) -> None:
    """Print what the cache folder holds: number, size and last use by kind, and the limit of the features in bytes."""
    explained = ["content"] if out.width >= NARROW else []
    table = _table("kind", *(Column(title, justify="right") for title in ("items", "size")), "last used", *explained)
    for one in contents:
        last = f"{one.last_used:%Y-%m-%d}" if one.last_used else ""
        cells = (one.kind, f"{one.items:,}", memory_text(one.size), last, KINDS[one.kind].content)
        table.add_row(*cells[: len(table.columns)])
    out.print(wrap(printable(folder), _columns()), markup=False)
    out.print(table)
    say(
        f"the least recently used features are deleted above {memory_text(limit)}; the environment variable "
        f"{LIMIT} sets another limit, and --clear deletes what is shown"
    )


def print_cleared(done: Cleared) -> None:
    """Print what was deleted from the cache folder, and what stays for which reason."""
    for one in done.deleted:
        if one.items:
            say(f"deleted from {one.kind}: {counted(one.items, 'item')}, {memory_text(one.size)}")
    say(f"freed {memory_text(sum(one.size for one in done.deleted))}")
    for path, why in list(done.kept.items())[:_KEPT]:
        say(f"kept {path}: {why}")
    if len(done.kept) > _KEPT:
        say(f"kept {counted(len(done.kept) - _KEPT, 'more item')}")


def print_report(report: Report) -> None:
    """Print a data set report: class counts as a table, then findings with the first files of each."""
    counts = _table("class", *(Column(str(name), justify="right") for name in report.counts.columns))
    for row in report.counts.head(_CLASSES).itertuples():
        counts.add_row(Text(printable(row.Index)), *map(str, row[1:]))
    out.print(counts)
    if len(report.counts) > _CLASSES:
        out.print(f"and {len(report.counts) - _CLASSES:,} more classes, in report.json")
    out.print()
    if report.folder and any(finding.files for finding in report.findings):
        out.print(wrap(f"files below are in {printable(report.folder)}", _columns()), markup=False, style="dim")
    for finding in report.findings:
        text = wrap(f"{finding.severity:8}{printable(finding.message)}", _columns(), indent=8)
        out.print(text[:8], style=_SEVERITIES[finding.severity], end="")
        out.print(text[8:], markup=False)
        for line in _grouped(finding.groups, report) if finding.groups else _files(finding.files, report):
            out.print(f"         {printable(line)}", markup=False)
    out.print("training may go on" if report.trainable else "training may not go on", style="bold")


def _files(files: Sequence[str], report: Report) -> list[str]:
    """Return lines with the first files of a finding and the number of the rest."""
    why = report.unreadable
    lines = [f"{report.short(file)!r}{f': {why[file]}' if file in why else ''}" for file in files[:_FILES]]
    return [*lines, *([f"and {len(files) - _FILES:,} more"] if len(files) > _FILES else [])]


def _grouped(groups: Sequence[Sequence], report: Report) -> list[str]:
    """Return lines with split, class and path of the files of the first groups, separated by "-"."""
    lines = []
    for group in groups[:_GROUPS]:
        some = [(one.split, printable(one.label), repr(report.short(one.file))) for one in group[:_MEMBERS]]
        widths = [max(len(row[column]) for row in some) for column in (0, 1)]
        lines += [f"{split:{widths[0]}}  {label:{widths[1]}}  {file}" for split, label, file in some]
        if len(group) > _MEMBERS:
            lines.append(f"and {len(group) - _MEMBERS:,} more in this group")
        lines.append("-")
    if len(groups) > _GROUPS:
        return [*lines, f"and {len(groups) - _GROUPS:,} more groups, in report.json"]
    return lines[:-1]


def print_stages(stages: pd.DataFrame) -> None:
    """Print cost and receptive field of a model, one row per stage; omit less important columns if they do not fit."""
    columns = ["stage", "layers", "output", "parameters", "multiply-adds", "activations", "sees"]
    rows = [_stage(stage) for stage in stages.itertuples()]
    columns, rows, left_out = _fitting(columns, rows, ("layers", "activations", "sees", "multiply-adds"), _columns())
    table = _table(columns[0], *(Column(name, justify="right") for name in columns[1:]))
    for cells in rows:
        table.add_row(*cells, style="bold" if cells[0] == "total" else None)
    out.print(table)
    if left_out:
        out.print(wrap(f"{', '.join(left_out)}: in layers.csv, or on a wider terminal", _columns()))


def _fitting(
    columns: list[str], rows: list[list[str]], less_important: Sequence[str], limit: int | None
) -> tuple[list[str], list[list[str]], list[str]]:
    """Return columns and rows of a table without the less important columns, as many as exceed the width `limit`.

    Returns:
        columns, rows, and the names of the columns that are left out.
    """
    left_out = []
    for name in less_important:
        widths = [max(cell_len(cells[i]) for cells in (columns, *rows)) for i in range(len(columns))]
        if sum(widths) + 2 * (len(widths) - 1) <= (limit or math.inf):
            break
        place = columns.index(name)
        left_out.append(name)
        columns, *rows = ([*cells[:place], *cells[place + 1 :]] for cells in (columns, *rows))
    return columns, rows, left_out


def _stage(stage: Any) -> list[str]:
    """Return the cells of one row of the table of stages."""
    sees = stage.receptive_field if isinstance(stage.receptive_field, tuple) else ()
    shown = [stage.Index, str(stage.layers), "x".join(map(str, stage.output_shape[1:]))]
    shown += [f"{stage.parameters:,}", f"{stage.multiply_adds:,}", f"{stage.activation_bytes / 2**20:,.1f} MiB"]
    return [*shown, "x".join(map(str, sees))]


def print_result(run: Run, quiet: bool = False) -> None:
    """Print a finished run's metrics, its folder, and the command for a prediction, in the chief worker only.

    Args:
        run: the run.
        quiet: print the run folder only.
    """
    from cnnrecipes._support.cluster import is_chief
    from cnnrecipes.runs.display import cross_validation_text, metrics_text
    from cnnrecipes.runs.records import CROSS_VALIDATION

    if not is_chief(os.environ):
        return
    if quiet:
        print(run.folder)
        return
    metrics = run.metrics
    for split in ("validation", "test"):
        if split in metrics:
            say(f"{split} {metrics_text(metrics[split])}")
    if CROSS_VALIDATION in metrics:
        say(f"cross-validation {cross_validation_text(metrics[CROSS_VALIDATION])}")
        say(_CROSS_VALIDATION_MEANS)
    folder = printable(run.folder)
    say(f"epoch {metrics['epoch']} kept; the run is in {folder}")
    print(f"next: cnnrecipes predict {folder} IMAGE")  # never broken: a command is copied


def print_evaluation(metrics: Mapping[str, Any]) -> None:
    """Print the metrics of a split; with test-time augmentation, the metrics without it on the line before."""
    from cnnrecipes.runs.display import metrics_text

    result = f"{metrics['split']} {metrics_text(metrics)}"
    if "plain" in metrics:
        print(f"plain: {metrics['split']} {metrics_text(metrics['plain'])}")
        result = f"{' + '.join(metrics['tta'])}, mean of {metrics['average']}: {result}"
    print(printable(result))


def print_predictions(predictions: Iterable[Prediction]) -> None:
    """Print the most probable classes of each image."""
    for prediction in predictions:
        print(printable(f"{prediction.file}: {prediction}"))


def print_experiment(summary: pd.DataFrame, size: str) -> None:
    """Print the last epoch of each case of an experiment.

    Args:
        summary: result of `experiments.summary`.
        size: heading of the column of sizes.
    """
    table = _table("kind", size, "training loss", "training", "validation")
    for row in summary.itertuples():
        table.add_row(str(row.kind), str(row.size), f"{row.loss:.3f}", f"{row.accuracy:.1%}", f"{row.val_accuracy:.1%}")
    out.print(table)


def print_learning_curve(curve: pd.DataFrame) -> None:
    """Print the sizes of a learning curve, which is a result of `transfer.learning_curve`."""
    names = ("images a class", "images", "accuracy", "95% interval", "repeats")
    table = _table(*(Column(name, justify="right") for name in names))
    for row in curve.itertuples():
        interval = f"{row.low:.1%} to {row.high:.1%}"
        table.add_row(f"{row.images_a_class:.4g}", f"{row.images:,}", f"{row.accuracy:.1%}", interval, str(row.repeats))
    out.print(table)
    subject = printable(curve.attrs.get("of", "logistic heads on frozen features"))
    print(f"accuracy on {curve.attrs['validation_images']:,} validation images, of {subject}")


def print_heads(found: HeadComparison) -> None:
    """Print the heads of a comparison, the best first; less important columns are left out if they do not fit."""
    columns = ["head", "accuracy", "95% interval", "cross entropy", "p", "parameters", "seconds", "chosen"]
    rows = []
    for row in found.table.to_dict("records"):
        p = "<0.001" if row["p_holm"] < 0.001 else _number(row["p_holm"], ".2g")
        interval = "" if math.isnan(row["low"]) else f"{row['low']:.1%} to {row['high']:.1%}"
        cells = [printable(row["head"]), _number(row["accuracy"], ".1%"), interval]
        cells += [_number(row["cross_entropy"], ".3f"), p, f"{row['parameters']:,}", _number(row["seconds"], ".1f")]
        rows.append([*cells, row["chosen"]])
    less_important = ("parameters", "seconds", "cross entropy", "chosen", "p")
    columns, rows, left_out = _fitting(columns, rows, less_important, _columns())
    table = _table(*(Column(name, justify="left" if name in ("head", "chosen") else "right") for name in columns))
    for cells in rows:
        table.add_row(*map(Text, cells))
    (out if out.is_terminal else Console(width=_WIDE, highlight=False)).print(table)
    if left_out:
        out.print(wrap(f"{', '.join(left_out)}: with --json, or on a wider terminal", _columns()))


def print_rates(found: RateSweep) -> None:
    """Print the learning rates that a sweep suggests, and their range over the seeds; nothing without a suggestion."""
    rows = found.table()
    if not rows:
        return
    table = _table("suggestion", *(Column(name, justify="right") for name in ("learning rate", "of the seeds")))
    for row in rows:
        seeds = "" if row["lowest"] is None else f"{row['lowest']:.2g} to {row['highest']:.2g}"
        name = {"minimum_tenth": "minimum / 10", "low": "usable from", "high": "usable to"}
        table.add_row(name.get(row["suggestion"], row["suggestion"]), f"{row['rate']:.2g}", seeds)
    out.print(table)


def print_rate_grid(grid: RateGrid) -> None:
    """Print the trainings of a grid of learning rates and weight decays."""
    names = ("learning rate", "weight decay", "validation", "training loss", "seconds")
    table = _table(*(Column(name, justify="right") for name in names), "")
    best = grid.best
    for cell in grid.trainings:
        scores = ("", "diverged") if cell.diverged else (f"{cell.accuracy:.1%}", f"{cell.loss:.3f}")
        numbers = (f"{cell.learning_rate:.2g}", f"{cell.weight_decay:.2g}", *scores, f"{cell.seconds:.1f}")
        table.add_row(*numbers, "best" if cell is best else "")
    out.print(table)


def print_comparison(found: Comparison) -> None:
    """Print the variants of a comparison: accuracy, difference with its interval, p-value, time; sizes that differ."""
    rows = found.table.to_dict("records")
    sizes = [name for name in ("parameters", "multiply_adds") if len({row.get(name) for row in rows}) > 1]
    names = ("seeds", "accuracy", "difference, 95% interval", "p (Holm)", "s/epoch", *sizes)
    table = _table("variant", *(Column(name.replace("_", "-"), justify="right") for name in names))
    for row in rows:
        difference = _signed(row["difference"])
        if difference and math.isfinite(row["low"]):
            difference += f" ({_signed(row['low'])} to {_signed(row['high'])})"
        p = "<0.001" if row["p_holm"] < 0.001 else _number(row["p_holm"], ".2g")
        cells = [str(row["seeds"]), _number(row["accuracy"], ".1%"), difference, p]
        cells += [_number(row["seconds_per_epoch"], ".3g"), *(_number(row.get(name), ",.0f") for name in sizes)]
        table.add_row(Text(printable(row["variant"])), *cells)
    out.print(table)
    if not sizes and "parameters" in rows[0]:
        first = rows[0]
        print(
            f"each has {first['parameters']:,.0f} parameters and {first['multiply_adds']:,.0f} multiply-adds an image"
        )


def _signed(share: float) -> str:
    """Return a difference of accuracies in points; "" for NaN."""
    return "" if math.isnan(share) else f"{100 * share:+.1f}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None or math.isnan(value) else format(value, form)


def print_checks(checks: Sequence[Check]) -> None:
    """Print checks as a table: name, status, what was measured; below a row what to do."""
    if not checks:
        return
    table = _table("check", "status", Column("measured", overflow="fold"))
    for one in checks:
        measured = Text(printable(one.measured))
        if one.remedy and one.status != "ok":
            measured.append(f"\n-> {printable(one.remedy)}", style="italic")
        table.add_row(one.name, Text(one.status, style=_STATUSES[one.status]), measured)
    out.print(table)


def _table(*columns: Column | str) -> Table:
    return Table(*columns, box=None, pad_edge=False)


def _columns() -> int | None:
    """Return the width of the terminal that `out` writes to; None if it is a file or a pipe."""
    return out.width if out.is_terminal else None
