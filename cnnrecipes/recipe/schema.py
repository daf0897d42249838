"""Recipe schema: all settings of a training as one frozen, validated pydantic model, written as TOML."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import tomli_w
from pydantic import Field, ValidationError, model_validator

from cnnrecipes.errors import CNNRecipesWarning, RecipeError
from cnnrecipes.optim import shortened_schedules
from cnnrecipes.recipe.keys_and_defaults import (
    TABLES,
    Augment,
    Data,
    Devices,
    FolderName,
    Logging,
    Model,
    Optimizer,
    Train,
    Transfer,
    all_keys,
)
from cnnrecipes.recipe.messages import explain, unknown_key
from cnnrecipes.recipe.renamed_keys import upgraded
from cnnrecipes.recipe.search import Search
from cnnrecipes.recipe.section import Section
from cnnrecipes.recipe.values import check_nesting, plain, shown

# Keys of the table `data` that decide which images a split has. Accuracies on other validation images cannot be
# compared, and test images of one recipe could be training images of another.
SPLIT_KEYS = ("name", "layout", "corrections", "validation", "test", "split", "split_seed", "folds", "fold")


class Recipe(Section):
    """A validated recipe: `.change(**{"train.epochs": 5})` returns a changed copy, `.to_toml()` the file's text."""

    name: FolderName = "unnamed"
    data: Data
    augment: Augment = Field(default_factory=Augment)
    model: Model
    optimizer: Optimizer = Field(default_factory=Optimizer)
    train: Train
    transfer: Transfer = Field(default_factory=Transfer)
    devices: Devices = Field(default_factory=Devices)
    logging: Logging = Field(default_factory=Logging)
    search: Search | None = None

    @model_validator(mode="after")
    def _views_differ(self):
        if self.transfer.views and not self.augment.ops:
            raise ValueError(
                f"transfer.views = {self.transfer.views} are augmented views, and augment.ops is empty, so that they "
                'would be copies; set augment.ops, for example to ["random_resized_crop", "flip_lr"], or '
                "transfer.views = 0"
            )
        return self

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], origin: str) -> Recipe:
        """Return the validated recipe of nested tables; NumPy scalars and paths become Python numbers and strings.

        Raises:
            RecipeError: the message has `origin`, the key, the value and the allowed values.
        """
        check_nesting(tables, origin)
        try:
            return cls.model_validate(plain(tables))
        except ValidationError as error:
            raise RecipeError(f"{origin}: " + "; ".join(map(explain, error.errors()))) from None

    @classmethod
    def recorded(cls, tables: Mapping[str, Any], origin: str) -> Recipe:
        """Return the recipe of tables that this or an earlier version recorded, with renamed keys upgraded.

        A recipe that a user writes goes to `from_dict`, which raises for renamed keys.

        Raises:
            RecipeError: as for `from_dict`.
        """
        return cls.from_dict(upgraded(tables), origin)

    def change(self, **changes: Any) -> Recipe:
        """Return a validated copy with keys replaced. Raise RecipeError for an unknown key or an invalid value.

        `change(**{"train.epochs": 5})` and `change(train={"epochs": 5})` are the same.
        """
        tables = self.to_dict()
        for key, value in known_keys(changes).items():
            *parents, leaf = key.split(".")
            table = tables
            for parent in parents:
                table = table.setdefault(parent, {})
            table[leaf] = value
        if not changes:
            return self
        changed = Recipe.from_dict(tables, "change of " + ", ".join(changes))
        return self._shortened(changed, dotted(changes)) if "train.epochs" in dotted(changes) else changed

    def _shortened(self, changed: Recipe, asked: Mapping[str, Any]) -> Recipe:
        """Scale warmup and schedule of a changed recipe, with a warning, if they no longer fit into its epochs.

        Overridden keys are kept; nothing is scaled if they did not fit into the original epochs either.
        """
        before, after, kept = self.train.epochs, changed.train.epochs, changed.optimizer
        if shortened_schedules.fit(kept.warmup, kept.schedule, after):
            return changed
        if not shortened_schedules.fit(self.optimizer.warmup, self.optimizer.schedule, before):
            return changed
        share, scaled = after / before, {}
        if (
            "optimizer.warmup" not in asked
            and (warmup := shortened_schedules.scaled(kept.warmup, share)) != kept.warmup
        ):
            scaled["optimizer.warmup"] = str(warmup)
        if "optimizer.schedule" not in asked:
            text = shortened_schedules.scaled_schedule(kept.schedule, share)
            scaled |= {"optimizer.schedule": text} if text != kept.schedule else {}
        if not scaled:
            return changed
        said = [f"{key} is {value!r}" for key, value in scaled.items()]
        warnings.warn(
            f"the schedule of {before} epochs does not fit into {after}: scaled, {' and '.join(said)}",
            CNNRecipesWarning,
            stacklevel=3,
        )
        return changed.change(**scaled)

    def to_dict(self) -> dict[str, Any]:
        """Return nested tables of plain values, without keys that are None."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_toml(self) -> str:
        """Return the complete recipe as a TOML document, from which it can be loaded again."""
        return tomli_w.dumps(self.to_dict())


def known_keys(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten changes to dotted keys. Raise RecipeError for a key that a recipe does not have."""
    known, flat = all_keys(), dotted(changes)
    for key, value in flat.items():
        if key in Recipe.model_fields and key not in known:
            raise RecipeError(
                f"{key} = {shown(value)} is a table; change a key of it, for example {key}.{_first(key)}=..."
            )
        if key not in known:
            raise RecipeError(unknown_key(key))
    return flat


def dotted(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten changes to dotted keys: train={"epochs": 5} becomes {"train.epochs": 5}."""
    flat: dict[str, Any] = {}
    for key, value in changes.items():
        inner = isinstance(value, Mapping) and key in Recipe.model_fields
        flat |= {f"{key}.{name}": one for name, one in value.items()} if inner else {key: value}
    return flat


def _first(section: str) -> str:
    """Return the first key of a section."""
    return next(key for key in all_keys() if key.startswith(f"{section}.")).partition(".")[2]


def model_spec(model: str | Model, **options: Any) -> Model:
    """Return a validated `model` table from an architecture's name or another table, with options applied."""
    if not isinstance(model, (str, Model)):
        raise RecipeError(f"the model is {model!r}; give an architecture's name, or the model table of a recipe")
    tables = {"name": model} if isinstance(model, str) else model.model_dump()
    try:
        return Model.model_validate({**tables, **plain(options)})
    except ValidationError as error:
        # Messages name recipe keys: an option is the recipe key model.<option>.
        items = ({**item, "loc": ("model", *item["loc"])} for item in error.errors())
        raise RecipeError("; ".join(map(explain, items))) from None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of recipe files, for editors. No key is required, since `extends` may provide it."""
    schema = Recipe.model_json_schema()
    for name, field in Recipe.model_fields.items():
        if field.default_factory is not None:
            schema["properties"][name]["default"] = TABLES[name]().model_dump(mode="json")
    schema["properties"]["extends"] = {"type": "string", "description": "name or path of the recipe to extend"}
    schema.pop("required", None)
    for section in schema["$defs"].values():
        section.pop("required", None)
    return schema
