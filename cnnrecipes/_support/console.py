"""Console output of the commands: tables, metrics, escaped names, and TensorFlow's import without log messages."""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from cnnrecipes._support import keras_settings
from cnnrecipes._support.wrapping import terminal_width, wrap

_ROWS = 40  # classes that a table shows
_FILES = 3  # of a finding
_GROUPS, _MEMBERS = 3, 5  # groups of a finding, and files of a group
# Lines of absl and TensorFlow: "I0000 00:00:1795.4 7261 port.cc:153] oneDNN ...", "2026-11-24 19:30:01.1: I ...".
_LOGGED = re.compile(
    rb"WARNING: All log messages before absl::|[IWE]\d{4} \d\d:\d\d:|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
    rb"|To enable the following instructions:"
)
_JOINERS = "\u200c\u200d"

out = Console(soft_wrap=True, highlight=False)


def printable(text: object) -> str:
    """Return text for one terminal line, with control, bidirectional and undecodable characters escaped.

    Every name from data, a file or a model is printed through this function: a class named "\\x1b[2J" would clear the
    screen, and U+202E would reverse the text after it. Joiners, which Persian and emoji need, are kept.
    """
    return "".join(
        character if character.isprintable() or character in _JOINERS else _escaped(character)
        for character in str(text)
    )


def say(text: object, indent: int = 2) -> None:
    """Print a line to standard output, with unprintable characters escaped; wrap it at the terminal width.

    Args:
        text: the line.
        indent: spaces before each continuation line.
    """
    print(wrap(printable(text), terminal_width(), indent))


def silent(text: object, indent: int = 2) -> None:
    """Print nothing: takes the place of `say`."""


def listed(names: Sequence[object], most: int = 6) -> str:
    """Return the printable names, comma-separated; of more than `most` the first ones and the number of the rest."""
    shown = [printable(name) for name in names[:most]]
    if len(names) > most:
        shown[-1:] = [f"and {len(names) - most + 1:,} more"]
    return ", ".join(shown)


def print_report(report) -> None:
    """Print a data set report: class counts as a table, then findings with the first files of each."""
    counts = Table(
        "class", *(Column(str(name), justify="right") for name in report.counts.columns), box=None, pad_edge=False
    )
    for row in report.counts.head(_ROWS).itertuples():
        counts.add_row(Text(printable(row.Index)), *map(str, row[1:]))
    out.print(counts)
    if len(report.counts) > _ROWS:
        out.print(f"and {len(report.counts) - _ROWS:,} more classes, in report.json")
    out.print()
    if report.folder and any(finding.files for finding in report.findings):
        out.print(wrap(f"files below are in {printable(report.folder)}", _columns()), markup=False, style="dim")
    styles = {"error": "bold red", "warning": "dark_orange3", "note": "dim"}
    for finding in report.findings:
        text = wrap(f"{finding.severity:8}{printable(finding.message)}", _columns(), indent=8)
        out.print(text[:8], style=styles[finding.severity], end="")
        out.print(text[8:], markup=False)
        for line in _grouped(finding.groups, report) if finding.groups else _files(finding.files, report):
            out.print(f"         {printable(line)}", markup=False)
    out.print("training may go on" if report.trainable else "training may not go on", style="bold")


def _files(files: Sequence[str], report) -> list[str]:
    """Return lines with the first files of a finding and the number of the rest."""
    why = report.unreadable
    lines = [f"{report.short(file)!r}{f': {why[file]}' if file in why else ''}" for file in files[:_FILES]]
    return [*lines, *([f"and {len(files) - _FILES:,} more"] if len(files) > _FILES else [])]


def _grouped(groups: Sequence[Sequence], report) -> list[str]:
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


def print_result(run) -> None:
    """Print a finished run's metrics, its folder, and the command for a prediction."""
    metrics = run.metrics
    for split in ("validation", "test"):
        if split in metrics:
            say(sentence(split, metrics[split]))
    folder = printable(run.folder)
    say(f"epoch {metrics['epoch']} kept; the run is in {folder}")
    print(f"next: cnnrecipes predict {folder} IMAGE")  # never broken: a command is copied


def print_stages(stages) -> None:
    """Print cost and receptive field of a model, one row per stage; omit less important columns if they do not fit."""
    columns = ["stage", "layers", "output", "parameters", "multiply-adds", "activations", "sees"]
    rows = [_cells(stage) for stage in stages.itertuples()]
    left_out = []
    for name in ("layers", "activations", "sees", "multiply-adds"):
        widths = [max(cell_len(cells[i]) for cells in (columns, *rows)) for i in range(len(columns))]
        if sum(widths) + 2 * (len(widths) - 1) <= (_columns() or math.inf):
            break
        place = columns.index(name)
        left_out.append(name)
        columns, *rows = ([*cells[:place], *cells[place + 1 :]] for cells in (columns, *rows))
    table = Table(columns[0], *(Column(name, justify="right") for name in columns[1:]), box=None, pad_edge=False)
    for cells in rows:
        table.add_row(*cells, style="bold" if cells[0] == "total" else None)
    out.print(table)
    if left_out:
        out.print(wrap(f"{', '.join(left_out)}: in layers.csv, or on a wider terminal", _columns()))


def sentence(split: str, metrics: dict) -> str:
    """Return the metrics of a split as text: its name, accuracy with n and 95% interval, cross entropy in nats."""
    return f"{split} {measured(metrics)}"


def measured(metrics: dict) -> str:
    """Return metrics as text: accuracy with n and 95% interval, cross entropy in nats."""
    low, high = metrics["accuracy_95"]
    return (
        f"accuracy {metrics['accuracy']:.2%} (n = {metrics['n']}, 95% interval {low:.2%} to {high:.2%}), "
        f"cross entropy {metrics['cross_entropy']:.4f}"
    )


def import_tensorflow(devices: bool = True) -> None:
    """Import TensorFlow without its startup log messages, which no log level disables; show them if the import fails.

    Sets TF_CPP_MIN_LOG_LEVEL to 3 if it is unset: errors in TensorFlow are raised as exceptions in any case.

    Args:
        devices: also initialize the devices, which logs messages too.

    Raises:
        KerasSettingError: the Keras backend is not TensorFlow.
    """
    keras_settings.check_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _without_logs():
        import tensorflow as tf

        # With many workers TensorFlow must not know its devices before the workers are joined.
        if devices and not _one_of_many():
            tf.config.list_logical_devices()


@contextlib.contextmanager
def _without_logs() -> Iterator[None]:
    """Filter TensorFlow's log lines out of the process's stderr; write the other lines on exit."""
    try:
        screen = os.dup(2)
    except OSError:  # closed, as a service's may be
        yield
        return
    if sys.stderr:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        shown = _LOGGED
        try:
            yield
        except BaseException:
            shown = None
            raise
        finally:
            if sys.stderr:
                sys.stderr.flush()
            os.dup2(screen, 2)
            written.seek(0)
            os.write(2, b"".join(line for line in written if not (shown and shown.match(line))))
            os.close(screen)


def _columns() -> int | None:
    """Return the width of the terminal that `out` writes to; None if it is a file or a pipe."""
    return out.width if out.is_terminal else None


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _one_of_many() -> bool:
    return bool(os.environ.get("TF_CONFIG")) or int(os.environ.get("SLURM_NTASKS", 1)) > 1


def _cells(stage) -> list[str]:
    """Return one row of the table that `cnnrecipes inspect` prints."""
    sees = stage.receptive_field if isinstance(stage.receptive_field, tuple) else ()
    shown = [stage.Index, str(stage.layers), "x".join(map(str, stage.output_shape[1:]))]
    shown += [f"{stage.parameters:,}", f"{stage.multiply_adds:,}", f"{stage.activation_bytes / 2**20:,.1f} MiB"]
    return [*shown, "x".join(map(str, sees))]
