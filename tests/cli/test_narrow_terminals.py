"""Output on terminals of 40 and 80 columns: no truncated or overflowing line, and no remaining progress bar."""

from __future__ import annotations

import io
import re
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.cells import cell_len
from rich.console import Console
from screen import Screen, run

from cnnrecipes import build
from cnnrecipes._support.progress import bar, watch
from cnnrecipes._support.text_wrapping import fields, wrap
from cnnrecipes.analysis import cost
from cnnrecipes.cli import result_printing
from cnnrecipes.data.audit.checks import DataFinding
from cnnrecipes.data.audit.report import Report
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training.callbacks.progress import ProgressDisplay


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """pets.zip in Kaggle's layout: 20 training images and 8 test images."""
    random = np.random.default_rng(0)
    file = tmp_path_factory.mktemp("data") / "pets.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for folder, count in (("training_set", 10), ("test_set", 4)):
            for name in ("cats", "dogs"):
                for i in range(count):
                    content = io.BytesIO()
                    Image.fromarray(random.integers(0, 255, (24, 24, 3)).astype("uint8")).save(content, "PNG")
                    archive.writestr(f"dataset/{folder}/{name}/{i}.png", content.getvalue())
    return file


# Trains once on each width, and ends each output with a form feed.
PROGRAM = """
import fcntl, struct, sys, termios
from cnnrecipes.cli import app
arguments = sys.argv[1:]
for columns in (40, 80):
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    sys.argv[1:] = [*arguments, "--workdir", f"w{columns}"]
    try:
        app.main()
    except SystemExit as stopped:
        if stopped.code:
            raise
    print("\\f", end="", flush=True)
"""


@pytest.fixture(scope="module")
def outputs(pets):
    """The output of a training on terminals of 40 and of 80 columns, in one process."""
    small = ["train.epochs=2", "data.image_size=16", "data.batch_size=4", "augment.ops=[]", "logging.loggers=[]"]
    small += ["model.name=resnet8", "model.depths=[1]", "model.widths=[16]"]
    command = ["fit", "photos_from_scratch", "--data", pets.name, "--name", "one", *small]
    text, status = run([sys.executable, "-c", PROGRAM, *command], pets.parent)
    assert status == 0, text
    narrow, wide, rest = text.split("\f")
    assert not rest
    return {40: narrow, 80: wide}


@pytest.mark.parametrize("columns", [80, 40])
def test_fit_output_fits_the_terminal_and_ends_with_the_next_command(outputs, columns):
    screen = Screen(columns)
    screen.feed(outputs[columns])
    shown = screen.text()
    assert screen.overflowed == []
    assert not [line for line in shown if "━" in line or line.startswith(("starting", "looking", "taking"))]
    end = " ".join(line.strip() for line in shown)
    where = f"w{columns}/one"
    interval = r"accuracy \d+\.\d\d% \(n = {}, 95% interval \d+\.\d\d% to \d+\.\d\d%\), cross entropy \d\.\d+"
    assert re.search("validation " + interval.format(2), end)
    assert re.search("test " + interval.format(8), end)
    assert re.search(rf"epoch [12] kept; the run is in {where} next: cnnrecipes predict {where} IMAGE$", end)
    assert shown[-1] == f"next: cnnrecipes predict {where} IMAGE"
    assert "splits of pets.zip/dataset: train in training_set/, test in test_set/" in end  # not the folder of the cache


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_progress_lines_and_bars_fit_the_terminal(columns):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=columns, color_system=None)
    display = ProgressDisplay(state := TrainState(4), 400, console)
    display.set_params({"epochs": 100})
    display.on_train_begin()
    for epoch in (0, 99):
        state.epoch, state.step = epoch, 4
        display.shown = -1e9
        display.on_train_batch_end(3, {"loss": 10.123456, "accuracy": 1.0})
        display.bar.refresh()
        numbers = {"val_loss": 10.123456, "val_accuracy": 1.0, "images_per_second": 12345.0}
        display.on_epoch_end(epoch, {"loss": 10.123456, "accuracy": 1.0, **numbers})
    display.close()
    screen = Screen(columns)
    screen.feed(text.getvalue().replace("\n", "\r\n"))
    assert screen.overflowed == []
    assert "…" not in text.getvalue()  # nothing is truncated
    shown = " ".join(screen.text())
    assert shown.count("val_accuracy 100.0%") == 2
    assert ("12345 images/s  ETA" in shown) == (columns == 200)
    assert "━" not in shown


@pytest.mark.parametrize("columns", [40, 80])
def test_bar_shows_its_percentage_beside_a_long_description(columns, monkeypatch):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=columns, color_system=None)
    monkeypatch.setattr("cnnrecipes._support.progress.Console", lambda: console)
    what = "taking mean and deviation of 1,234,567 images"
    assert list(watch(range(50), what, 50, show=True)) == list(range(50))
    screen = Screen(columns)
    screen.feed(text.getvalue().replace("\n", "\r\n"))
    assert screen.overflowed == []
    assert " 0%" in text.getvalue()
    assert screen.text() == []


def test_bar_is_visible_on_white_and_black_backgrounds():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="truecolor")
    progress = bar(console)
    progress.add_task("x", total=2, completed=1)
    colors = {segment.style.color.get_truecolor() for segment in console.render(progress) if "━" in segment.text}
    assert len(colors) == 2  # the completed part, and the rest
    for red, green, blue in colors:
        luminance = sum(
            weight * ((c / 255 + 0.055) / 1.055) ** 2.4
            for weight, c in zip((0.2126, 0.7152, 0.0722), (red, green, blue), strict=True)
        )
        # WCAG 2.1, 1.4.11: the contrast of graphics is at least 3.
        assert 1.05 / (luminance + 0.05) >= 3
        assert (luminance + 0.05) / 0.05 >= 3


@pytest.mark.parametrize("columns", [10, 20, 37, 80])
def test_wrap_breaks_text_between_words(columns):
    text = "data     猫 and a/path/that/is/longer/than/any/line with 95% interval"
    lines = wrap(text, columns, indent=3).split("\n")
    assert " ".join(line.strip() for line in lines).split() == text.split()
    assert all(line.startswith("   ") for line in lines[1:])
    assert all(cell_len(line) <= columns or " " not in line.strip() for line in lines)
    assert wrap(text, None) == text


def test_fields_omit_optional_parts_before_breaking_the_line():
    parts = ["epoch 1/3", "loss 1.0", "val 2.0", "9 images/s", "ETA 1"]
    assert fields(parts, None, optional=2) == "epoch 1/3  loss 1.0  val 2.0  9 images/s  ETA 1"
    assert fields(parts, 42, optional=2) == "epoch 1/3  loss 1.0  val 2.0  9 images/s"
    assert fields(parts, 30, optional=2) == "epoch 1/3  loss 1.0  val 2.0"
    assert fields(parts, 20, optional=2) == "epoch 1/3  loss 1.0\n  val 2.0"


@pytest.mark.parametrize(
    ("columns", "without"), [(80, set()), (60, {"layers"}), (40, {"layers", "activations", "sees"})]
)
def test_stage_table_omits_columns_and_truncates_no_cell(columns, without, monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(
        result_printing, "out", Console(file=text, force_terminal=True, width=columns, color_system=None)
    )
    stages = cost(build("resnet8", input_shape=(32, 32, 3), classes=10), by="stage")
    stages["receptive_field"] = [(25, 25)] * len(stages)
    result_printing.print_stages(stages)
    shown = text.getvalue()
    assert "…" not in shown
    assert all(cell_len(line.rstrip()) <= columns for line in shown.splitlines())
    header = shown.splitlines()[0].split()
    assert {"layers", "activations", "sees", "multiply-adds"} - set(header) >= without
    assert {"stage", "output", "parameters"} <= set(header)
    assert all(f"{number:,}" in shown for number in stages["parameters"])
    assert ("on a wider terminal" in " ".join(shown.split())) == bool(set(without))


def test_findings_are_wrapped_between_words_and_indented(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(
        result_printing, "out", Console(file=text, force_terminal=True, width=40, color_system=None, soft_wrap=True)
    )
    message = "2 groups of near copies in different classes: all but one of the labels are wrong"
    report = Report(
        name="photos",
        counts=pd.DataFrame({"train": [3, 4]}, index=["a", "b"]),
        findings=(DataFinding("error", "near copies", message),),
        unreadable={},
        trainable=True,
    )
    result_printing.print_report(report)
    lines = text.getvalue().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("error   2 groups"))
    assert " ".join(line.strip() for line in lines[start:-1]) == f"error   {message}"
    assert all(len(line) <= 40 for line in lines)
    assert all(line.startswith(8 * " ") for line in lines[start + 1 : -1])
