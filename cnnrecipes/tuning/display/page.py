"""The page of a search, search.html: one file that loads nothing, with the answer first."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime

from cnnrecipes.errors import counted
from cnnrecipes.figures.svg import block, escaped
from cnnrecipes.tuning.display.answer import answer
from cnnrecipes.tuning.display.charts import (
    SHADES,
    importance_chart,
    parallel_chart,
    progress_chart,
    slice_chart,
)
from cnnrecipes.tuning.display.importance import Importances
from cnnrecipes.tuning.display.page_assets import SCRIPT, STYLE
from cnnrecipes.tuning.display.snapshot import Snapshot
from cnnrecipes.tuning.display.trial_mark import mark
from cnnrecipes.tuning.display.trial_table import trial_table
from cnnrecipes.tuning.records import FAILED, PRUNED, Trial

PAGE = "search.html"
_AXES, _SLICES, _BARS, _COLUMNS = 10, 24, 24, 24  # keys that are shown in each part
_LINES, _MARKS, _ROWS = 200, 500, 1000  # trials that are
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(view: Snapshot, found: Importances | None) -> str:
    """Return a self-contained HTML document about a search, in any state of it.

    Args:
        view: the search.
        found: the importances of its keys; they decide which keys are shown if there are many. None: not computed yet.
    """
    keys = _ordered_keys(view, found)
    parts = [_head(view), answer(view)]
    if view.scored:
        parts += [_progress(view), _parallel(view, keys), _importance(found)]
    if view.trials:
        parts += [_slices(view, keys), _table(view, keys)]
    parts += [_recipe(view), _commands(view), f"</main><script>{SCRIPT}</script></body></html>"]
    return "\n".join(part for part in parts if part)


def _head(view: Snapshot) -> str:
    name, total = escaped(view.name), view.settings.limit
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    counts = ", ".join(f"{number} {status}" for status, number in view.counts.items())
    if view.result:
        state = f"Finished: {counted(len(view.trials), 'trial')}"
    elif view.retrained and len(view.trials) >= total:
        state = "The best trials are being trained again"
    else:
        state = f"Not finished: {len(view.trials)} of {counted(total, 'trial')}"
    again = "" if view.result else " <button class='tool' id='again' hidden>Reload every 10 s</button>"
    return (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>Search of {name}</title>'
        f"<style>{STYLE}</style></head><body><main><header><h1>Search of {name}</h1>"
        f"<p class='quiet'>{state}{f' ({counts})' if counts else ''}. Written {now}, {escaped(view.settings.method)} "
        f"search, pruning {escaped(view.settings.pruning)}.{again}</p></header>"
    )


def _progress(view: Snapshot) -> str:
    shown = _some(view, _MARKS)
    charts = "".join(
        f"<figure><figcaption>{title}</figcaption>{progress_chart(view, shown, by=by)}</figure>"
        for by, title in (("trial", "By the number of the trial"), ("time", "By time"))
    )
    rest = _left_out(view, shown)
    return f"<section><h2>Best so far</h2>{_legend(view)}<div class='side'>{charts}</div>{rest}</section>"


def _parallel(view: Snapshot, keys: Sequence[str]) -> str:
    shown, axes = _some(view, _LINES), keys[:_AXES]
    order = [entry.key for entry in view.entries if entry.key in axes]
    shades = "".join(
        f"<svg width='20' height='8' aria-hidden='true'><g class='l s{i}'><path d='M0 4H20'/></g></svg>"
        for i in (0, SHADES // 2, SHADES - 1)
    )
    return (
        "<section><h2>Parallel coordinates</h2><ul class='legend'>"
        f"<li>{shades} from worse to better</li><li><svg width='20' height='8' aria-hidden='true'><g class='l best'>"
        f"<path d='M0 4H20'/></g></svg> {'the winner' if view.result else 'the best so far'}</li>"
        "<li><svg width='20' height='8' aria-hidden='true'><g class='l s5 pruned'><path d='M0 4H20'/></g></svg> pruned"
        "</li></ul><div class='scroll lines' tabindex='0' role='region' aria-label='Parallel coordinates; arrow down "
        f"and up go from the best trial to the worst'>{parallel_chart(view, order, shown)}</div>"
        "<p class='chosen quiet' aria-live='polite'>Point at a line, or focus the chart and press arrow down or up, "
        f"to follow a trial.</p>{_left_out(view, shown)}{_more_keys(keys, _AXES)}</section>"
    )


def _importance(found: Importances | None) -> str:
    if found is None:
        return ""
    chart = f"<div class='scroll' tabindex='0' role='region' aria-label='Chart of the importances'>{drawn}</div>" if (
        drawn := importance_chart(found, _BARS) if found.keys else ""
    ) else ""  # fmt: skip
    how = (
        "<p class='quiet'>How much of the variance of the trials' ranks a key explains, alone or together with others "
        "(1: all of it): a random forest predicts held-out trials, and their values of the key are shuffled. Whiskers "
        "are two standard errors. Grey bars are not clearly above 0.</p>"
        if chart
        else ""
    )
    rest = _more_keys([one.key for one in found.keys], _BARS)
    return f"<section><h2>Importances of the keys</h2><p>{escaped(found.sentence)}</p>{chart}{how}{rest}</section>"


def _slices(view: Snapshot, keys: Sequence[str]) -> str:
    shown = _some(view, _MARKS)
    if not any(one.over for one in shown):
        return ""
    charts = "".join(
        f"<figure>{slice_chart(view, key, shown, number)}</figure>" for number, key in enumerate(keys[:_SLICES])
    )
    return (
        f"<section><h2>Score over each key</h2>{_legend(view)}<div class='slices'>{charts}</div>"
        f"{_left_out(view, shown)}{_more_keys(keys, _SLICES)}</section>"
    )


def _table(view: Snapshot, keys: Sequence[str]) -> str:
    shown = _some(view, _ROWS)
    columns = [entry.key for entry in view.entries if entry.key in keys[:_COLUMNS]]
    return (
        "<section><h2>Trials</h2><div class='scroll tall' tabindex='0' role='region' aria-label='Table of the trials'>"
        f"{trial_table(view, columns, shown)}</div>{_left_out(view, shown)}{_more_keys(keys, _COLUMNS)}</section>"
    )


def _recipe(view: Snapshot) -> str:
    return (
        "<section><h2>Recipe of the search</h2><details><summary>recipe.toml, with the space</summary>"
        f"<pre tabindex='0'>{block(view.recipe)}</pre></details></section>"
    )


def _commands(view: Snapshot) -> str:
    """Return the commands that go on from here."""
    folder = shlex.quote(str(view.folder))
    resume = f"cnnrecipes tune --resume {folder}"
    if not view.result:
        return f"<section><h2>To go on after an interruption</h2><pre tabindex='0'>{block(resume)}</pre></section>"
    lines = [f"{resume} --trials {2 * view.settings.limit}", "", "import cnnrecipes as cr"]
    lines.append(f"search = cr.Search.open({str(view.folder)!r})")
    if view.best is not None:
        lines += ["run = search.best", "recipe = search.best_recipe"]
    return f"<section><h2>To go on</h2><pre tabindex='0'>{block(chr(10).join(lines))}</pre></section>"


def _ordered_keys(view: Snapshot, found: Importances | None) -> list[str]:
    """Return the keys of the space, the most important first; without importances in the order of the space."""
    keys = [entry.key for entry in view.entries]
    known = [one.key for one in found.keys] if found is not None and found.told else []
    return known + [key for key in keys if key not in set(known)]


def _some(view: Snapshot, most: int) -> Sequence[Trial]:
    """Return the trials that are shown, `most` at most: a third of them the best, the others the latest."""
    if len(view.trials) <= most:
        return view.trials
    best = {one.trial for one in view.ranked[: most // 3]}
    rest = [one.trial for one in view.trials if one.trial not in best]
    kept = best | set(rest[len(best) - most :])
    return [one for one in view.trials if one.trial in kept]


def _left_out(view: Snapshot, shown: Sequence[Trial]) -> str:
    if len(shown) == len(view.trials):
        return ""
    return (
        f"<p class='quiet'>Of {len(view.trials)} trials the best and the latest, {len(shown)} in all; "
        "<code>Search.trials</code> has all.</p>"
    )


def _more_keys(keys: Sequence[str], most: int) -> str:
    if len(keys) <= most:
        return ""
    return f"<p class='quiet'>Shown are {most} of {len(keys)} keys; <code>Search.trials</code> has all.</p>"


def _legend(view: Snapshot) -> str:
    """Return a legend of the marks that occur."""
    marks = [("completed", False, "completed")]
    marks += [(status, False, status) for status in (PRUNED, FAILED) if status in view.counts]
    if view.best is not None:
        marks.append(("completed", True, "the winner" if view.result else "the best so far"))
    rows = "".join(
        "<li><svg width='16' height='16' aria-hidden='true'>"
        f"{mark(8, 8, status, trial=0, best=best).replace(chr(32) + 'data-t=' + chr(39) + '0' + chr(39), '')}"
        f"</svg> {words}</li>"
        for status, best, words in marks
    )
    return f"<ul class='legend'>{rows}</ul>"
