"""The model card of a run, README.md with Hugging Face's metadata, filled from the run's records alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes._support.console import printable
from cnnrecipes._support.markdown import escaped, table
from cnnrecipes.errors import counted, listed
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.classification_metrics import per_class, worst_first
from cnnrecipes.runs.predictions import Predictions
from cnnrecipes.runs.records import PARAMETERS, QUARANTINE, TRAINABLE, read_quarantine
from cnnrecipes.runs.trained_part import MODEL_FILE

FILE = "README.md"
_CLASSES = 50  # rows of the table by class; of more classes the worst are shown
_FEW = 100  # images of a split, below which the card warns
_NEAR = 1.05  # a temperature nearer to 1 is not told
_ROWS = {
    "top5_accuracy": "top-5 accuracy",
    "balanced_accuracy": "balanced accuracy (mean recall)",
    "macro_f1": "macro F1",
    "calibration_error": "expected calibration error",
    "calibration_error_scaled": "the same, logits divided by the temperature",
    "brier": "Brier score",
}


def write_model_card(
    folder: Path, recipe: Recipe, metrics: Mapping[str, Any], predictions: Mapping[str, Predictions]
) -> None:
    """Write README.md of a run atomically; arguments as of `model_card`. Raises WriteError."""
    write_text(folder / FILE, model_card(folder, recipe, metrics, predictions))


def model_card(folder: Path, recipe: Recipe, metrics: Mapping[str, Any], predictions: Mapping[str, Predictions]) -> str:
    """Return the model card of a run: what the model is for, its data, results by class, limits, and how to load it.

    Paths of this machine are not in it, so that it can be published. What the records do not tell is left out.

    Args:
        folder: of the run, with model.json and environment.json.
        recipe: of the run.
        metrics: content of metrics.json.
        predictions: split -> its predictions; splits without them have no table by class.
    """
    about = _json(folder / MODEL_FILE)
    names = [str(name) for name in about.get("class_names", ())]
    split = next((name for name in ("test", "validation") if name in metrics), None)
    found = per_class(predictions[split]) if split and split in predictions else None
    sections = [
        _header(recipe, metrics, split),
        f"# {escaped(recipe.name)}",
        _summary(recipe, metrics, split, len(names)),
        _usage(about.get("input_shape")),
        _intended_use(names),
        _data(recipe, about.get("images") or {}),
        _results(metrics),
        _by_class(found, split),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(folder, recipe, metrics, split, found)),
        _training(folder, recipe, metrics),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _header(recipe: Recipe, metrics: Mapping[str, Any], split: str | None) -> str:
    """Return the YAML metadata: https://huggingface.co/docs/hub/model-cards. Strings are JSON, which YAML includes."""
    lines = ["---", "library_name: keras", "pipeline_tag: image-classification", "tags:"]
    lines += [f"- {_quoted(tag)}" for tag in ("image-classification", "cnnrecipes", recipe.model.name)]
    lines += ["metrics:", "- accuracy"]
    if split is None:
        return "\n".join([*lines, "---"])
    data = _quoted(data_name(recipe))
    lines += [
        "model-index:",
        f"- name: {_quoted(recipe.name)}",
        "  results:",
        "  - task:",
        "      type: image-classification",
        "    dataset:",
    ]
    lines += [f"      name: {data}", f"      type: {data}", f"      split: {split}", "    metrics:"]
    named = {"accuracy": "accuracy", "macro_f1": "f1", "top5_accuracy": "accuracy", "brier": "brier_score"}
    for key, kind in named.items():
        if key in metrics[split]:
            shown = _quoted(_ROWS.get(key, key))
            lines += [f"    - type: {kind}", f"      name: {shown}", f"      value: {metrics[split][key]:.6f}"]
    return "\n".join([*lines, "---"])


def _summary(recipe: Recipe, metrics: Mapping[str, Any], split: str | None, classes: int) -> str:
    model, data = escaped(recipe.model.name), escaped(data_name(recipe))
    kinds = f" into {classes:,} classes" if classes else ""
    text = f"A convolutional network ({model}) that classifies images{kinds}, trained on {data}."
    if split is None:
        return text
    low, high = metrics[split]["accuracy_95"]
    return (
        f"{text} It is right on {metrics[split]['accuracy']:.1%} of {counted(metrics[split]['n'], f'{split} image')} "
        f"(95% interval {low:.1%} to {high:.1%})."
    )


def _usage(shape: Any) -> str:
    size = f"(N, {', '.join(map(str, shape))})" if shape else "(N, H, W, C)"
    return f"""## How to use

```python
import cnnrecipes as cr

model = cr.load("model.keras")  # weights, class names and preprocessing
print(model.predict("photo.jpg"))  # images of any size
```

Keras loads it without cnnrecipes too: `keras.saving.load_model("model.keras", compile=False)` takes images {size}
with values 0..255, and returns logits; the preprocessing is part of it."""


def _intended_use(names: list[str]) -> str:
    classes = f" They are: {listed(map(escaped, names), _CLASSES)}." if names else ""
    return (
        "## Intended use\n\nTo classify images like those that it was trained on, of which each shows one of the "
        f"classes.{classes} Measure it on images of your own before anything depends on it: "
        "`cnnrecipes evaluate RUN --data FOLDER`."
    )


def _data(recipe: Recipe, images: Mapping[str, Any]) -> str:
    rows = [(split, f"{int(n):,}") for split, n in images.items()]
    found = f"## Data\n\nThe data set is {escaped(data_name(recipe))}."
    return f"{found}\n\n{table(('split', 'images'), rows)}" if rows else found


def _results(metrics: Mapping[str, Any]) -> str:
    splits = [name for name in ("validation", "test") if name in metrics]
    if not splits:
        return ""
    rows: list[list[str]] = [["images", *(f"{metrics[split]['n']:,}" for split in splits)]]
    rows += [["accuracy (95% interval)", *(_with_interval(metrics[split], "accuracy") for split in splits)]]
    for key in ("top5_accuracy", "balanced_accuracy", "macro_f1", "calibration_error", "calibration_error_scaled"):
        if any(key in metrics[split] for split in splits):
            rows += [[_ROWS[key], *(f"{metrics[split][key]:.1%}" if key in metrics[split] else "" for split in splits)]]
    rows += [["cross entropy, nats", *(f"{metrics[split]['cross_entropy']:.4f}" for split in splits)]]
    return f"## Results\n\n{table(('', *splits), rows)}"


def _by_class(classes: pd.DataFrame | None, split: str | None) -> str:
    if classes is None:
        return ""
    few = len(classes) <= _CLASSES
    shown = classes if few else worst_first(classes).head(_CLASSES)
    rows = [
        (row["class"], f"{row['n']:,}", _share(row["precision"]), _recall(row), _share(row["f1"]))
        for row in shown.to_dict("records")
    ]
    which = "by class" if few else f"of the {len(rows)} classes of the lowest recall, of {len(classes):,}"
    header = ("class", "images", "precision", "recall (95% interval)", "F1")
    return f"### {str(split).capitalize()} results {which}\n\n{table(header, rows)}"


def _limits(
    folder: Path, recipe: Recipe, metrics: Mapping[str, Any], split: str | None, classes: pd.DataFrame | None
) -> Iterator[str]:
    yield "It knows these classes only: it gives one of them to every image, also to one that shows something else."
    if split is None:
        yield "It was not measured on images apart from those that it was trained on."
        return
    found = metrics[split]
    if split == "validation":
        yield "There is no test split. Validation may have chosen the epoch, so its accuracy is a little high."
    if found["n"] < _FEW:
        yield f"It was measured on {counted(found['n'], 'image')} only, so the intervals are wide."
    if worst := found.get("worst_class"):
        low, high = worst["recall_95"]
        yield (
            f"The lowest recall is that of {escaped(worst['class'])}: {worst['recall']:.1%} of "
            f"{counted(worst['n'], 'image')} (95% interval {low:.1%} to {high:.1%})."
        )
    if classes is not None and (absent := classes["class"][classes["n"] == 0].tolist()):
        yield f"The {split} split has no images of {listed(map(escaped, absent))}."
    if "accuracy_95_groups" in found:
        low, high = found["accuracy_95_groups"]
        yield (
            f"The images come in {found['groups']:,} groups; the 95% interval of the accuracy on new groups is "
            f"{low:.1%} to {high:.1%}."
        )
    temperature = found.get("temperature", 1.0)
    if not 1 / _NEAR < temperature < _NEAR:
        sure = "too sure of itself" if temperature > 1 else "not sure enough of itself"
        yield f"On the validation split it is {sure}: divide its logits by {temperature:.2f} for better probabilities."
    if left_out := read_quarantine(folder / QUARANTINE):
        yield f"{counted(len(left_out), 'file')} of the data could not be read and was left out."
    if recipe.model.weights != "none":
        yield "Its backbone was pretrained, so it may share the biases and the license of the weights."


def _training(folder: Path, recipe: Recipe, metrics: Mapping[str, Any]) -> str:
    train, optimizer, environment = recipe.train, recipe.optimizer, _json(folder / "environment.json")
    packages = environment.get("packages") or {}
    versions = [f"{name} {version}" for name, version in packages.items() if version]
    rows = [("architecture", recipe.model.name)]
    if PARAMETERS in metrics:
        rows += [("parameters (trained)", f"{metrics[PARAMETERS]:,} ({metrics[TRAINABLE]:,})")]
    if recipe.model.weights != "none":
        origin = recipe.model.weights
        rows += [("initial weights", PurePath(origin).name), ("transfer", recipe.transfer.how)]
    if recipe.transfer.trains_by_steps:
        rows += [("epochs (kept)", f"{train.epochs} ({metrics['epoch']})"), ("batch size", str(recipe.data.batch_size))]
        rows += [("optimizer", f"{optimizer.name}, learning rate {optimizer.learning_rate:g}, {optimizer.schedule}")]
    rows += [("augmentation", ", ".join(recipe.augment.ops) or "none"), ("seed", str(train.seed))]
    rows += [("versions", ", ".join(versions))] if versions else []
    if environment.get("platform"):
        rows += [("platform", f"{environment['platform']}, {environment.get('cpu_count')} CPUs")]
    command = (
        "`cnnrecipes fit recipe.toml`, with `--data FOLDER` for other data than the recipe names, trains it again."
    )
    facts = "\n".join(f"- {name}: {escaped(value)}" for name, value in rows)
    return f"## Training\n\n{facts}\n\n{command}"


def data_name(recipe: Recipe) -> str:
    """Return the name of the data set; of a path or a URL its last part, which tells no folder of this machine."""
    name = recipe.data.name
    if "://" in name:
        return PurePath(urlsplit(name).path).name or "data"
    is_path = name.startswith(("/", ".", "~")) or Path(name).exists()
    return (PurePath(name).name or "data") if is_path else name


def _with_interval(found: Mapping[str, Any], key: str) -> str:
    low, high = found[f"{key}_95"]
    return f"{found[key]:.1%} ({low:.1%} to {high:.1%})"


def _recall(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["recall"]):
        return ""
    return f"{row['recall']:.1%} ({row['recall_low']:.1%} to {row['recall_high']:.1%})"


def _share(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.1%}"


def _quoted(text: str) -> str:
    return json.dumps(printable(text), ensure_ascii=False)


def _json(path: Path) -> dict[str, Any]:
    """Return a JSON record of the run; {} if it is missing or damaged, since the card only leaves its facts out."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
