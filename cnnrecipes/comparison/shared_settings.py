"""plan.json of a comparison's folder: what its trainings must share, and the refusal of a folder with others."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes.comparison import code_version
from cnnrecipes.comparison.variants import Variant
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import CNNRecipesWarning, DataError, RunError, one_line
from cnnrecipes.runs.checkpoint import Fingerprint
from cnnrecipes.runs.evaluation import images_digest
from cnnrecipes.training.start_or_resume import complete_recipe

PLAN = "plan.json"


def write_plan(
    folder: Path,
    variants: Sequence[Variant],
    data: Any,
    *,
    trained: Mapping[str, Any],
    about: Mapping[str, Any],
    recorded: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Write plan.json with these variants and those of the recorded plan, and return it.

    Args:
        folder: of the comparison.
        variants: what is trained.
        data: as in `fit`.
        trained: folder of a variant -> its complete recipe, with the keys that only the data decides.
        about: of `data_record`.
        recorded: the plan so far; None for a new folder.
    """
    entries = {
        one.folder: {"label": one.label, "recipe": _complete(one, data), "trained": trained[one.folder]}
        for one in variants
    }
    plan = {
        "variants": {**(recorded["variants"] if recorded else {}), **entries},
        "data": dict(about),
        "code": dict(code_version.code_version()),
    }
    write_text(folder / PLAN, json.dumps(plan, indent=2))
    return plan


def read_plan(folder: Path) -> dict[str, Any] | None:
    """Return plan.json of a folder; None for a new or empty folder.

    Raises:
        RunError: the folder has other content, or its plan.json is damaged.
    """
    path = folder / PLAN
    if not path.is_file():
        content = [one for one in folder.iterdir() if not one.name.startswith(".")] if folder.is_dir() else []
        if content or folder.is_file():
            raise RunError(f"{str(folder)!r} exists and is not the folder of a comparison; give another name")
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not {"variants", "data", "code"} <= found.keys():
            raise ValueError("it has not all entries")
        return found
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"cannot read {str(path)!r} ({one_line(error)}); move the folder away") from None


def data_record(variant: Variant, data: Any, split: str) -> dict[str, Any]:
    """Return what identifies the data: the fingerprint of the whole training split, and digests of the others.

    Raises:
        DataError: there is no split `split`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CNNRecipesWarning)  # `opened_subject` warns of the same
        recipe = complete_recipe(variant.base, data, None, {**variant.changes, "data.train_images": None})
        with InputPipeline.open(recipe, data) as pipeline:
            splits = pipeline.source.splits
            if split not in splits:
                raise DataError(
                    f"{pipeline.source.name} has no {split} split to compare on; it has {', '.join(splits)}; set "
                    f"data.{split} above 0, or choose another split"
                )
            held_out = {name: images_digest(part) for name, part in splits.items() if name != "train"}
            return {**pipeline.fingerprint(), **{f"{name}_images": digest for name, digest in held_out.items()}}


def require_same(
    folder: Path, recorded: Mapping[str, Any], variants: Sequence[Variant], data: Any, about: Mapping[str, Any]
) -> None:
    """Raise RunError if the folder has trainings of other variants, data or code; the message has the differences."""
    remedy = "give another name, or move the folder away"
    known = recorded["variants"]
    if not any(one.folder in known for one in variants):
        labels = ", ".join(repr(entry["label"]) for entry in known.values())
        raise RunError(f"{str(folder)!r} is another comparison, of {labels}; {remedy}")
    for one in variants:
        if one.folder in known:
            before, now = (Fingerprint(tables, {}) for tables in (known[one.folder]["recipe"], _complete(one, data)))
            if found := before.differences(now):
                raise RunError(f"{str(folder)!r} has {one.label!r} of another recipe: {differing(found)}; {remedy}")
    if found := Fingerprint({}, recorded["data"]).differences(Fingerprint({}, about)):
        raise RunError(f"{str(folder)!r} was trained on other data: {differing(found)}; {remedy}")
    if changed := code_version.differences(recorded["code"]):
        raise RunError(f"{str(folder)!r} was trained by other code: {'; '.join(changed[:5])}; {remedy}")


def differing(found: Sequence[tuple[str, Any, Any]]) -> str:
    """Return the first differences of two fingerprints, as "train.epochs was 2 and is 3"."""
    return "; ".join(f"{name} was {before!r} and is {now!r}" for name, before, now in found[:5])


def _complete(variant: Variant, data: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CNNRecipesWarning)
        return complete_recipe(variant.base, data, 0, variant.changes).to_dict()
