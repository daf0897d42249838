"""The charts of a search's page: best score so far, parallel coordinates, importances, slices; SVG as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnrecipes.figures.svg import LETTER, apart, chart, escaped, label, line, score_grid
from cnnrecipes.tuning.display.axes import Axis, ChoiceAxis, NumberAxis
from cnnrecipes.tuning.display.importance import Importances
from cnnrecipes.tuning.display.snapshot import Snapshot
from cnnrecipes.tuning.display.trial_mark import mark
from cnnrecipes.tuning.records import COMPLETED, FAILED, Trial

SHADES = 8  # classes of lines by rank, s0 (worst) to s7 (best)
_BAR = 24.0  # height of a bar with its gap


def progress_chart(view: Snapshot, shown: Sequence[Trial], *, by: str) -> str:
    """Return the scores of trials, and the best so far as a step line, over trial number or time.

    Args:
        view: the search.
        shown: the trials to mark.
        by: "trial" or "time".
    """
    width, height, left, right, top, bottom = 540.0, 300.0, 58.0, 524.0, 12.0, 256.0
    places = {one.trial: float(one.trial) for one in view.trials} if by == "trial" else view.ends
    unit, per = _time_unit(max(places.values(), default=1.0)) if by == "time" else ("", 1.0)
    places = {trial: place / per for trial, place in places.items()}
    last = max([*places.values(), 1.0 if by == "trial" else 1e-9])
    across = NumberAxis(1.0 if by == "trial" and last > 1 else 0.0, last, whole=by == "trial")
    score = view.score_axis

    def x_of(trial: Trial) -> float:
        return left + 8 + (across.place(places[trial.trial]) or 0.0) * (right - left - 16)

    parts = score_grid(score, left, right, top, bottom)
    for tick in apart(across.ticks(7), right - left, 44):
        x = left + 8 + tick.place * (right - left - 16)
        parts += [line(x, bottom, x, bottom + 4, "axis"), label(x, bottom + 18, tick.text, anchor="middle")]
    parts += [line(left, bottom, right, bottom, "axis"), label(left, height - 6, _unit_title(by, unit), kind="t")]
    parts.append(_steps(view, places, x_of, score, right, top, bottom))
    for one in (one for one in shown if one.trial in places):
        parts.append(_score_mark(view, one, x_of(one), top, bottom))
    title = f"{view.objective} and the best so far, over {'the trials' if by == 'trial' else 'time'}"
    return chart(width, height, title, _progress_words(view), parts, name=f"progress-{by}")


def parallel_chart(view: Snapshot, keys: Sequence[str], shown: Sequence[Trial]) -> str:
    """Return parallel coordinates: a line per trial through its values and its score; better ones are darker.

    A line bends to the foot of an axis where its key is inactive.
    """
    step = min(max(940.0 / max(len(keys), 1), 104.0), 240.0)
    left, top, bottom = 14.0, 44.0, 284.0
    width, height = left + step * len(keys) + 124, 324.0
    axes: list[tuple[str, Axis]] = [(key, view.axes[key]) for key in keys]
    parts = []
    numbers = {one.trial for one in shown}
    order = [one for one in reversed(by_score(view)) if one.trial in numbers]
    order.sort(key=lambda one: one.trial == view.best)  # it is drawn last, above the others
    for rank, one in enumerate(order):
        shade = rank * SHADES // max(len(order), 1)
        parts.append(_parallel_line(view, axes, one, shade, left, step, top, bottom))
    for number, (key, axis) in enumerate([*axes, (view.objective, view.score_axis)]):
        parts += _parallel_axis(key, axis, left + number * step, step, top, bottom, last=number == len(axes))
    if any(key not in one.values for key in keys for one in shown):
        parts.append(label(left - 8, bottom + 30, "foot of an axis: the key is inactive in this trial", kind="t"))
    words = f"{len(order)} trials as lines through {len(keys)} keys and {view.objective}; the table has their values."
    return chart(width, height, "Parallel coordinates of the trials", words, parts, name="parallel")


def importance_chart(found: Importances, most: int) -> str:
    """Return the importances as bars with error bars of two standard errors."""
    keys = found.keys[:most]
    longest = max(len(one.key) for one in keys)
    left, right, top = min(LETTER * longest + 22, 250.0), 690.0, 8.0
    bottom = top + _BAR * len(keys)
    low = min(0.0, *(one.value - 2 * one.error for one in keys))
    high = max(0.05, *(one.value + 2 * one.error for one in keys))
    axis = NumberAxis(low, high)
    parts = []
    for tick in apart(axis.ticks(6), right - left, 44):
        x = left + tick.place * (right - left)
        parts += [line(x, top, x, bottom, "grid"), label(x, bottom + 16, tick.text, anchor="middle")]
    zero = left + (axis.place(0.0) or 0.0) * (right - left)
    for number, one in enumerate(keys):
        y = top + _BAR * number
        end, first, last = (
            left + (axis.place(value) or 0.0) * (right - left)
            for value in (one.value, one.value - 2 * one.error, one.value + 2 * one.error)
        )
        kind = "bar" if found.told and one.clear else "bar dim"
        words = f"{one.key}: {one.value:.3f} ± {one.error:.3f}, active in {one.active} trials"
        parts += [
            label(left - 10, y + 16, one.key, anchor="end", width=left - 12),
            f"<rect class='{kind}' x='{min(zero, end):.1f}' y='{y + 5:.1f}' width='{abs(end - zero):.1f}' height='14'>"
            f"<title>{escaped(words)}</title></rect>",
            f"<path class='whisker' d='M{first:.1f} {y + 12:.1f}H{last:.1f}M{first:.1f} {y + 8:.1f}v8"
            f"M{last:.1f} {y + 8:.1f}v8'/>",
        ]
    parts += [
        line(zero, top, zero, bottom, "axis"),
        label(left, bottom + 36, "share of the variance, alone or with other keys", kind="t"),
    ]
    words = "; ".join(f"{one.key} {one.value:.3f} ± {one.error:.3f}" for one in keys)
    return chart(720, bottom + 46, "Importances of the keys, with two standard errors", words, parts, name="importance")


def slice_chart(view: Snapshot, key: str, shown: Sequence[Trial], number: int) -> str:
    """Return the scores over one key, with failed trials on a strip below."""
    width, height, left, right, top, bottom = 320.0, 250.0, 54.0, 308.0, 26.0, 186.0
    axis, strip = view.axes[key], bottom + 16
    parts = [label(left - 46, 14, key, kind="b", width=width - 16)]
    parts += score_grid(view.score_axis, left, right, top, bottom)
    failed = any(one.status == FAILED and key in one.values for one in shown)
    foot = strip + 8 if failed else bottom
    if failed:
        parts += [label(left - 6, strip + 4, "failed", anchor="end"), line(left, bottom, right, bottom, "grid")]
    span = right - left - 20
    room = 40.0 if isinstance(axis, NumberAxis) else 0.0
    ticks = apart(axis.ticks(6), span, room)
    for tick in ticks:
        x = left + 10 + tick.place * span
        parts += [
            line(x, foot, x, foot + 4, "axis"),
            label(x, foot + 18, tick.text, anchor="middle", width=span / max(len(ticks), 1) - 4),
        ]
    parts.append(line(left, foot, right, foot, "axis"))
    for one in shown:
        place = axis.place(one.values.get(key)) if key in one.values else None
        if place is not None:
            x = left + 10 + (place + jitter(axis, one.trial)) * span
            parts.append(_score_mark(view, one, x, top, bottom, strip))
    words = f"{view.objective} of the trials over {key}{', on a logarithmic axis' if _is_log(axis) else ''}."
    if _is_log(axis):
        parts.append(label(right, foot + 36, "logarithmic", anchor="end", kind="t"))
    return chart(width, height, f"{view.objective} over {key}", words, parts, name=f"slice-{number}")


def _score_mark(view: Snapshot, one: Trial, x: float, top: float, bottom: float, strip: float | None = None) -> str:
    """Return the mark of a trial at its score; of a failed one on the strip, or at the foot."""
    if one.status == FAILED:
        return mark(x, bottom if strip is None else strip, FAILED, trial=one.trial)
    place = view.score_axis.place(one.score) if one.score is not None else None
    if place is None or not one.over:
        return ""
    return mark(x, bottom - place * (bottom - top), one.status, trial=one.trial, best=one.trial == view.best)


def _steps(
    view: Snapshot, places: Mapping[int, float], x_of, score: NumberAxis, right: float, top: float, bottom: float
) -> str:
    """Return the step line of the best completed score so far."""
    done = sorted((one for one in view.ranked if one.trial in places), key=lambda one: places[one.trial])
    path, best = "", None
    for one in done:
        if best is None or view.sign * ((one.score or 0.0) - best) > 0:
            best = one.score
            y = bottom - (score.place(best) or 0.0) * (bottom - top)
            path += f"{'M' if not path else 'H'}{x_of(one):.1f}{' ' if not path else 'V'}{y:.1f}"
    return f"<path class='steps' d='{path}H{right - 8:.1f}'/>" if path else ""


def _parallel_line(
    view: Snapshot, axes: Sequence[tuple[str, Axis]], one: Trial, shade: int, left: float, step: float, top: float,
    bottom: float,
) -> str:  # fmt: skip
    points = []
    for number, (key, axis) in enumerate([*axes, ("", view.score_axis)]):
        value = one.score if not key else one.values.get(key)
        place = axis.place(value) if value is not None else None
        y = bottom + 14 if place is None else bottom - (place + jitter(axis, one.trial, 0.25)) * (bottom - top)
        points.append(f"{left + number * step:.1f} {y:.1f}")
    d = "M" + "L".join(points)
    kind = "best" if one.trial == view.best else f"s{shade}"
    dashed = "" if one.status == COMPLETED else " pruned"
    return (
        f"<g class='l {kind}{dashed}' data-t='{one.trial}'><path class='hit' d='{d}'/><path d='{d}'/>"
        f"<title>{escaped(view.described(one))}</title></g>"
    )


def _parallel_axis(key: str, axis: Axis, x: float, step: float, top: float, bottom: float, *, last: bool) -> list[str]:
    """Return an axis of the parallel coordinates with its name in one or two lines, and its ticks."""
    table, dot, rest = key.rpartition(".")
    lines = [f"{table}{dot}", rest] if dot else ["", rest]
    parts = [line(x, top, x, bottom, "axis")]
    for number, words in enumerate(lines):
        if words:
            kind = "b" if number or last else ""
            parts.append(label(x - 8, 14 + 15 * number, words, kind=kind, width=step - 8 if not last else 130))
    ticks = axis.ticks(6 if isinstance(axis, NumberAxis) else 12)
    for tick in apart(ticks, bottom - top, 15):
        y = bottom - tick.place * (bottom - top)
        parts += [line(x - 3, y, x + 3, y, "axis"), label(x + 6, y + 4, tick.text, kind="halo", width=step - 22)]
    return parts


def by_score(view: Snapshot) -> list[Trial]:
    """Return the trials with a score, the best first."""
    return sorted(view.scored, key=lambda one: (-view.sign * (one.score or 0.0), one.trial))


def jitter(axis: Axis, trial: int, share: float = 0.5) -> float:
    """Return a shift of a trial's mark on a categorical axis, so that marks of one choice do not overlap.

    Args:
        axis: the axis; 0 is returned for an axis of numbers.
        trial: number of the trial, which alone decides the shift.
        share: range of the shifts, as a share of the distance between two choices.
    """
    if not isinstance(axis, ChoiceAxis):
        return 0.0
    return ((trial * 0.618034) % 1 - 0.5) * share / len(axis.choices)


def _is_log(axis: Axis) -> bool:
    return isinstance(axis, NumberAxis) and axis.log


def _time_unit(seconds: float) -> tuple[str, float]:
    for name, per in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * per:
            return name, per
    return "seconds", 1.0


def _unit_title(by: str, unit: str) -> str:
    return "number of the trial" if by == "trial" else f"{unit} of work, without interruptions"


def _progress_words(view: Snapshot) -> str:
    if not view.ranked:
        return "No trial is completed."
    best = view.ranked[0]
    return f"{len(view.ranked)} completed trials; the best is trial {best.trial} with {view.shown(best.score)}."
