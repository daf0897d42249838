"""The page of a run, report.html: one file that loads nothing, with the answer first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from markupsafe import Markup

import cnnrecipes
from cnnrecipes.errors import one_line
from cnnrecipes.figures.page_scripts import RELOADING, SORTING
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.section import Section, asset, render
from cnnrecipes.report.sections.answer import answer
from cnnrecipes.report.sections.batch import batch
from cnnrecipes.report.sections.calibration import calibrated
from cnnrecipes.report.sections.classes import classes
from cnnrecipes.report.sections.confusion import confusion
from cnnrecipes.report.sections.cost import cost
from cnnrecipes.report.sections.curves import curves
from cnnrecipes.report.sections.data import data
from cnnrecipes.report.sections.embedding import embedding
from cnnrecipes.report.sections.issues import issues
from cnnrecipes.report.sections.layers import layers
from cnnrecipes.report.sections.losses import losses
from cnnrecipes.report.sections.reproduce import reproduce
from cnnrecipes.report.sections.robustness import robustness
from cnnrecipes.report.sections.schedule import schedule
from cnnrecipes.report.sections.slices import slices

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
FAILED = "this section ended with an error"
# In the order of the page: id, heading, and what makes it.
SECTIONS: tuple[tuple[str, str, Callable[[Facts], Section]], ...] = (
    ("answer", "Result", answer),
    ("curves", "Curves", curves),
    ("batch", "What the network saw", batch),
    ("classes", "Classes", classes),
    ("confusion", "Confusions", confusion),
    ("slices", "Parts of the data", slices),
    ("losses", "Largest losses", losses),
    ("label-issues", "Likely label errors", issues),
    ("embedding", "Map of the features", embedding),
    ("calibration", "Calibration and coverage", calibrated),
    ("robustness", "Robustness", robustness),
    ("data", "Data", data),
    ("layers", "Layers", layers),
    ("cost", "Cost and time", cost),
    ("schedule", "Learning rate", schedule),
    ("reproduce", "To reproduce", reproduce),
)


def page(facts: Facts) -> str:
    """Return a self-contained HTML document about a run, in any state of it.

    A section whose facts are missing is listed at the end with the reason; so is one that ends with an error.
    """
    made = [_made(key, title, make, facts) for key, title, make in SECTIONS]
    name = facts.recipe.name
    return document(
        f"{name}: training report",
        heading=name,
        kind="Training report",
        sections=made,
        live=facts.state == "training",
    )


def document(title: str, *, heading: str, kind: str, sections: Sequence[Section], live: bool = False) -> str:
    """Return an HTML document with sections.

    Args:
        title: of the window.
        heading: the main heading.
        kind: what the document is, above the heading.
        sections: in order; those without a body are listed at the end.
        live: offer to reload the page.
    """
    return render(
        "page.html",
        title=title,
        heading=heading,
        kind=kind,
        policy=POLICY,
        style=asset("style.css"),
        script=Markup(SORTING + RELOADING) + asset("script.js"),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        version=cnnrecipes.__version__,
        live=live,
        sections=[one for one in sections if one.body],
        missing=[one for one in sections if not one.body and one.why],
    )


def _made(key: str, title: str, make: Callable[[Facts], Section], facts: Facts) -> Section:
    """Return a section; an error of one does not prevent the others."""
    try:
        return make(facts)
    except Exception as error:
        return Section(key, title, why=f"{FAILED}: {type(error).__name__}: {one_line(error)[:300]}")
