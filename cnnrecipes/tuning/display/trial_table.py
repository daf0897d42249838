"""The table of a search's trials in HTML; the page's script makes it sortable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnrecipes.figures.svg import escaped
from cnnrecipes.tuning.display.axes import shown_value
from cnnrecipes.tuning.display.snapshot import Snapshot
from cnnrecipes.tuning.records import Trial


def trial_table(view: Snapshot, keys: Sequence[str], shown: Sequence[Trial]) -> str:
    """Return a table with a row per trial, the best first, then those without a score."""
    ranks = {one.trial: rank for rank, one in enumerate(view.ranked)}
    order = sorted(shown, key=lambda one: (ranks.get(one.trial, len(ranks)), one.trial))
    heads = [("trial", "n"), ("status", ""), (view.objective, "n"), ("epochs", "n"), ("seconds", "n")]
    heads += [(key, "n" if _is_number(view, key) else "v") for key in keys] + [("reason", "why")]
    head = "".join(f"<th scope='col' class='{kind}'>{escaped(name)}</th>" for name, kind in heads)
    rows = "".join(_row(view, keys, one) for one in order)
    return f"<table class='trials sortable'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(view: Snapshot, keys: Sequence[str], one: Trial) -> str:
    score = view.shown(one.score) if one.score is not None else ""
    cells = [
        f"<td class='n'>{one.trial}</td><td>{one.status}</td>",
        f"<td class='n' data-v='{'' if one.score is None else one.score}'>{score}</td>",
        f"<td class='n'>{one.epochs or ''}</td>",
        f"<td class='n' data-v='{one.seconds or ''}'>{f'{one.seconds:.1f}' if one.over else ''}</td>",
    ]
    cells += [_cell(one.values.get(key), "n" if _is_number(view, key) else "v") for key in keys]
    won = " class='won'" if one.trial == view.best else ""
    return f"<tr data-t='{one.trial}'{won}>{''.join(cells)}<td class='why'>{escaped(one.reason)}</td></tr>"


def _cell(value: Any, kind: str) -> str:
    if value is None:
        return f"<td class='{kind}'></td>"
    number = f" data-v='{value}'" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
    return f"<td class='{kind}'{number}>{escaped(shown_value(value))}</td>"


def _is_number(view: Snapshot, key: str) -> bool:
    choices = getattr(view.axes[key], "choices", None)
    return choices is None or all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in choices)
