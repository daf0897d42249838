"""The labels that are probably wrong, as pictures that a click enlarges with Grad-CAM of the suggested class."""

from __future__ import annotations

import shlex
from typing import Any

import pandas as pd

from cnnrecipes.errors import counted
from cnnrecipes.report.cards import Card, add_pictures, places_of
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.section import Section, render
from cnnrecipes.runs.records import LABEL_ISSUES

KEY, TITLE = "label-issues", "Likely label errors"
SHOWN = 24
_ROWS = 100  # of the table, which stands there without pictures
_COLUMNS = ["file", "given", "suggested", "score"]


def issues(facts: Facts) -> Section:
    """Return the images whose labels `label_issues` has found to be probably wrong, the least likely label first."""
    table = facts.label_issues
    if table is None:
        return Section(KEY, TITLE, why=facts.why.get("label_issues", _hint(facts)))
    if not set(_COLUMNS) <= set(table.columns):
        return Section(KEY, TITLE, why=f"{LABEL_ISSUES} does not have the columns {', '.join(_COLUMNS)}")
    rows = _rows(table)
    shown = rows[:SHOWN]
    cards = [_card(row) for row in shown]
    places = places_of(facts, [row["file"] for row in shown], ("train", "validation"))
    absent = places.count(None) if facts.source is not None else 0
    body = render(
        "issues.html",
        sentence=_sentence(len(rows), len(shown)),
        cards=cards,
        rows=rows[:_ROWS],
        pictured=add_pictures(facts, cards, places),
        absent=absent if absent < len(shown) else 0,
        next=f"`{LABEL_ISSUES}` in the run folder has all of them: write the right class into its column `label`, "
        "leave the others empty, and train with these corrections.",
        command=_command(facts) if rows else "",
    )
    return Section(KEY, TITLE, body)


def _hint(facts: Facts) -> str:
    """Return how to find label issues, as the end of a sentence."""
    call = f"cnnrecipes label-issues {shlex.quote(str(facts.run.folder))}"
    if facts.given:
        call = f"cr.label_issues(run, data, path=run.folder / '{LABEL_ISSUES}')"
    return f"they were not looked for: `{call}` lists them, then write the report again"


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the issues; earlier corrections, which follow them in the file, have no score and are left out."""
    score = pd.to_numeric(table["score"], errors="coerce")
    label = table.get("label", "")
    found = table[_COLUMNS].assign(score=score, label=label)
    return found[score.notna()].to_dict("records")


def _sentence(count: int, shown: int) -> str:
    if not count:
        return "No label of the training and validation images is probably wrong."
    first = f"; the {shown} least likely are shown" if shown < count else ""
    return (
        f"{counted(count, 'label')} of the training and validation images {'is' if count == 1 else 'are'} probably "
        f"wrong, judged by models that have not seen the image{first}. Such a list has mistakes of the models in it "
        "too: look before you correct."
    )


def _card(row: dict[str, Any]) -> Card:
    facts = f"labelled {row['given']} (probability {row['score']:.1%}), rather {row['suggested']}"
    mark = f"corrected to {row['label']}" if row["label"] else ""
    facts += f"; {mark}" if mark else ""
    return Card(row["file"], row["given"], row["suggested"], "rather", "", facts, f"{row['score']:.0%}", mark)


def _command(facts: Facts) -> str:
    recipe, path = (facts.run.folder / name for name in ("recipe.toml", LABEL_ISSUES))
    if facts.given:
        return f"cr.fit({str(recipe)!r}, data=..., **{{'data.corrections': {str(path)!r}}})"
    return f"cnnrecipes fit {shlex.quote(str(recipe))} {shlex.quote(f'data.corrections={path}')}"
