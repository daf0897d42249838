"""Write the tables of docs/training.md from the registered classes: run `make optim-table` after changing one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from cnnrecipes.optim.loss_registry import LOSSES
from cnnrecipes.optim.optimizer_registry import OPTIMIZERS, Optimizer
from cnnrecipes.optim.schedule_extension_registry import EXTENSIONS
from cnnrecipes.optim.schedule_registry import SCHEDULES, Schedule, ValidationSchedule
from cnnrecipes.optim.weight_averages import WEIGHT_AVERAGES
from cnnrecipes.syntax.call_syntax import Call, signature

PAGE = Path(__file__).with_name("training.md")
TABLES = {"schedule": SCHEDULES, "extension": EXTENSIONS, "optimizer": OPTIMIZERS, "loss": LOSSES}
MARKS = "<!-- {0} table, written by `make optim-table` -->\n", "<!-- end of the {0} table -->\n"


def page() -> str:
    """Return docs/training.md with its tables written anew."""
    text = PAGE.read_text(encoding="utf-8")
    for kind, known in TABLES.items():
        begin, end = (mark.format(kind) for mark in MARKS)
        table = begin + _table(kind, known) + end
        text, count = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _, table=table: table, text, flags=re.S)
        if count != 1:
            raise ValueError(f"{PAGE} has {count} sections between {begin!r} and {end!r}; write them once")
    return text


def _table(kind: str, known: Mapping[str, type[Call]]) -> str:
    rows = (f"| `{name}{signature(cls)}` | {_description(cls)} |\n" for name, cls in sorted(known.items()))
    return f"| {kind} | description |\n|---|---|\n{''.join(rows)}"


def _description(cls: type[Call]) -> str:
    """Return the first paragraph of the docstring, the described parameters, and what the class excludes or needs."""
    summary = " ".join(cls.__doc__.partition("\n\n")[0].split())
    fields = [f"`{name}`: {field.description}" for name, field in cls.model_fields.items() if field.description]
    return " ".join([summary, *([f"{'; '.join(fields)}."] if fields else []), *_notes(cls)])


def _notes(cls: type[Call]) -> list[str]:
    notes = []
    if issubclass(cls, Schedule) and cls.own_warmup:
        notes.append("Excludes `warmup`.")
    if issubclass(cls, ValidationSchedule):
        notes.append("Needs a validation split.")
    if issubclass(cls, Optimizer):
        if cls.default_decay == "coupled":
            notes.append("Weight decay is coupled by default.")
        if cls.averages_weights:
            notes.append(
                f"Averages the weights itself: excludes {' and '.join(f'`{key}`' for key in WEIGHT_AVERAGES)}."
            )
    return notes


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
