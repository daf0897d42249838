"""Section of the report: the command, recipe, environment and files with which a run is reproduced."""

from __future__ import annotations

import shlex

from cnnrecipes.report.facts import Facts
from cnnrecipes.report.section import Section, render

KEY, TITLE = "reproduce", "To reproduce"
_FILES = {
    "model.keras": "the artifact: weights, class names, preprocessing",
    "recipe.toml": "the recipe",
    "history.csv": "the values of each epoch",
    "metrics.json": "the final metrics",
    "predictions.parquet": "the prediction of every validation and test image",
    "watch.csv": "the statistics of the layers",
    "environment.json": "versions and devices",
    "checkpoints": "checkpoints",
    "label_issues.csv": "labels that are probably wrong",
    "robustness.csv": "the accuracy under corruptions",
    "embedding.csv": "the map of the features",
    "profile.json": "the time of a step by its parts",
    "quarantine.txt": "files that were left out",
}


def reproduce(facts: Facts) -> Section:
    """Return the commands, the recipe, the environment, and the files of the run."""
    run, environment = facts.run, facts.environment or {}
    recipe = shlex.quote(str(run.folder / "recipe.toml"))
    call = f"cr.fit({str(run.folder / 'recipe.toml')!r}, data=...)  # the arrays that were trained on"
    packages = [(name, version) for name, version in environment.get("packages", {}).items() if version]
    git = environment.get("git") or {}
    rows = [("Python", environment.get("python")), *packages, ("platform", environment.get("platform"))]
    rows += [("git commit", git.get("commit")), ("seed", str(facts.recipe.train.seed))]
    if git.get("changed_files"):
        rows.append(("changed files", str(len(git["changed_files"].splitlines()))))
    body = render(
        "reproduce.html",
        command=call if facts.given else f"cnnrecipes fit {recipe}",
        was=" ".join(map(shlex.quote, map(str, environment.get("command", [])))),
        recipe=facts.recipe.to_toml(),
        rows=[(name, str(value)) for name, value in rows if value],
        files=[(name, words) for name, words in _FILES.items() if (run.folder / name).exists()],
        folder=str(run.folder),
    )
    return Section(KEY, TITLE, body)
