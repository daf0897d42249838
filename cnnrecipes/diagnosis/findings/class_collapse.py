"""Class collapse: the model predicts one or a few classes."""

from __future__ import annotations

from cnnrecipes.diagnosis import remedies
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.diagnosis.finding import Finding, Remedy, finds
from cnnrecipes.diagnosis.measures import IMBALANCED, imbalance, percent, validation_accuracy

_FEW_PREDICTED = 0.5  # share of the classes that is never predicted
_MISSED = 0.2  # recall below which a class is missed
_DIFFERENCE = 0.2  # accuracy minus balanced accuracy
_ENOUGH = 3  # validation images of a class
_EPOCHS = 3
_NEAR = 0.01  # distance of the accuracy from the share of the largest class


@finds("class_collapse", order=65, live=True)
def class_collapse(evidence: Evidence) -> Finding | None:
    """Find classes that have validation images and are never or hardly predicted."""
    found = evidence.validation
    if found is None:
        return _suspicion(evidence)
    judged = [label for label, n in enumerate(found.images) if n >= _ENOUGH]
    missed = [label for label in judged if found.correct[label] < _MISSED * found.images[label]]
    ratio = imbalance(evidence)
    never = sum(not found.predicted[label] for label in judged)
    collapsed = never >= max(_FEW_PREDICTED * len(judged), 1)
    hidden = ratio >= IMBALANCED and found.accuracy - found.balanced_accuracy > _DIFFERENCE and missed
    if not (collapsed or hidden):
        return None
    facts = [
        f"of {len(judged)} classes, {never} {'is' if never == 1 else 'are'} never predicted and {len(missed)} "
        f"{'has' if len(missed) == 1 else 'have'} fewer than {_MISSED:.0%} of their images recognized",
        f"the accuracy is {percent(found.accuracy)}, its mean over the classes "
        f"{percent(found.balanced_accuracy)}, that of always answering the largest class "
        f"{percent(max(found.images) / found.n)}",
    ]
    if ratio >= IMBALANCED:
        facts.append(f"the largest class has {ratio:.0f} times the training images of the smallest")
    explained = ("underfitting", "too_few_epochs", "not_learning", "plateau", "validation_better", "overfitting")
    return Finding(
        "class_collapse",
        "error" if ratio >= IMBALANCED else "warning",  # with balanced classes it is mostly a symptom
        "the model predicts few classes" if collapsed else "classes are missed",
        tuple(facts),
        tuple(_remedies(evidence, ratio)),
        explains=explained if ratio >= IMBALANCED else ("validation_better",),
    )


def _suspicion(evidence: Evidence) -> Finding | None:
    """Return a finding if the validation accuracy is that of the largest class alone, with imbalanced classes."""
    validation, ratio = validation_accuracy(evidence), imbalance(evidence)
    if validation is None or ratio < IMBALANCED or len(evidence.history) < _EPOCHS:
        return None
    # Of the validation images, which may have other class shares than the training.
    share, counts = evidence.validation_majority, evidence.training_images or ()
    if share is None:
        share = max(counts) / sum(counts)
    if abs(validation.value - share) > _NEAR:
        return None
    facts = (
        f"the largest class has {ratio:.0f} times the training images of the smallest, and the validation accuracy, "
        f"{percent(validation.value)}, is that of always answering it ({percent(share)})",
        "`cnnrecipes diagnose` predicts the validation images to see it",
    )
    tries = tuple(_remedies(evidence, ratio))
    title = "suspected: the model predicts few classes"
    explained = ("underfitting", "too_few_epochs", "not_learning", "plateau")
    return Finding("class_collapse", "error", title, facts, tries, explains=explained)


def _remedies(evidence: Evidence, ratio: float) -> list[Remedy]:
    balance = evidence.recipe.data.balance
    if ratio < IMBALANCED:
        return [remedies.overfit_check(evidence), remedies.find_rate(evidence)]
    found = []
    if balance == "none":
        found.append(remedies.key("data.balance", "class_weights", "now none: every class weighs the same in the loss"))
    if balance != "sampling":
        found.append(remedies.key("data.balance", "sampling", f"now {balance}: every class is shown equally often"))
    found.append(
        remedies.key("train.monitor", "loss", f"now {evidence.recipe.train.monitor}: accuracy hides rare classes")
    )
    found.append(Remedy("more images of the rare classes", "no weighting replaces them"))
    return found
