"""Recipe schema: all settings of a training as one frozen, validated pydantic model, written as TOML."""

from __future__ import annotations

import copy
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cnnrecipes.augment import operation
from cnnrecipes.errors import CNNRecipesWarning, RecipeError, nearest
from cnnrecipes.optim import methods, rescale
from cnnrecipes.recipe.values import check_nesting, folder_name, image_size, plain, shown, some_blocks
from cnnrecipes.syntax import initialization
from cnnrecipes.syntax.duration import Duration, TimeSpan

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Fraction = Annotated[float, Field(ge=0, lt=1)]
ImageSize = Annotated[
    Annotated[int, Field(ge=4)] | Annotated[tuple[int, int], Field(strict=False)], BeforeValidator(image_size)
]
FolderName = Annotated[str, AfterValidator(folder_name)]
Depths = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1), AfterValidator(some_blocks)
]
Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)]
Norm = Literal["batch", "layer", "instance", "group", "channel", "none"]
Activation = Literal["relu", "leaky_relu", "elu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh"]


def _readable_operations(texts: tuple[str, ...]) -> tuple[str, ...]:
    operation.parse_list(texts)
    return texts


def _readable(parse: Callable[[str], Any]) -> Callable[[str], str]:
    def check(text: str) -> str:
        parse(text)
        return text

    return check


def _readable_extensions(texts: tuple[str, ...]) -> tuple[str, ...]:
    epochs = [methods.extension(text).epoch for text in texts]
    if epochs != sorted(set(epochs)):
        raise ValueError("each extension begins after the one before")
    return texts


def _readable_init(text: str) -> str:
    initialization.parse(text)
    return text


class Section(BaseModel):
    """Base class of recipe tables: frozen; unknown keys raise an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)


class Data(Section):
    """Data set, image size, splits and standardization."""

    name: str = Field(description='"digits", a TFDS name as "cifar10", or a folder with one sub-folder a class')
    batch_size: int = Field(default=128, ge=1)
    image_size: ImageSize | None = Field(
        default=None, description="in pixels: 64, or height and width, as [32, 48]; none: as stored"
    )
    channels: Literal[1, 3] | None = Field(default=None, description="1 gray, 3 RGB; none: as stored, photos as RGB")
    resize: Literal["crop", "pad"] = Field(
        default="crop", description="crop: short side, then centre crop; pad: the whole image, black borders"
    )
    short_side: int | None = Field(
        default=None,
        ge=4,
        description="what the short side is resized to before the centre crop; none: the short side of image_size",
    )
    standardize: Literal["train", "imagenet", "image", "none"] = Field(
        default="train",
        description="mean and std of each channel over the training split, or ImageNet's; of each image; or not at all",
    )
    layout: Literal["auto", "splits", "classes"] = Field(
        default="auto", description="what the sub-folders of a folder are; auto: found out, and asked where in doubt"
    )
    cache: Literal["none", "memory", "disk"] = Field(
        default="none", description="where decoded photos are kept for the next epochs; the batches stay the same"
    )
    cache_gb: float = Field(default=4.0, gt=0, description="of decoded photos of a split, at most, in GiB")
    validation: Fraction = Field(default=0.1, description="share held out where the source has no validation split")
    test: Fraction = Field(default=0.0, description="share held out where the source has no test split")
    split: Literal["stratified", "content"] = Field(
        default="stratified",
        description="stratified: shares of each class; content: by a hash, so that none moves later",
    )
    split_seed: int = Field(default=0, ge=0, lt=2**31)
    folds: int | None = Field(default=None, ge=2, description="the validation split is one of so many folds")
    fold: int = Field(default=0, ge=0, description="which one, from 0")
    balance: Literal["none", "class_weights", "sampling"] = Field(
        default="none",
        description="what is done about classes of different sizes: weights in the loss, or equal shares",
    )

    @model_validator(mode="after")
    def _leaves_training_data(self):
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} + test {self.test} leave nothing to train on")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} folds; the first is 0, the last {self.folds - 1}")
        return self

    @model_validator(mode="after")
    def _covers_the_crop(self):
        if self.short_side is not None and self.resize != "crop":
            raise ValueError(f"short_side {self.short_side} is for resize = 'crop'; leave one of the two out")
        if self.short_side is not None and self.size and self.short_side < min(self.size):
            raise ValueError(f"short_side {self.short_side} is below image_size {self.image_size}; give at least that")
        return self

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of `image_size` in pixels; None: as stored."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size


class Augment(Section):
    """Random augmentation of training images: operations in order."""

    ops: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_readable_operations)] = Field(
        default=(), description='as ["pad_crop(4)", "flip_lr", "cutout(8)"]; docs/augmentation.md lists them'
    )
    repeats: int = Field(
        default=1, ge=1, description="how often an image stands in a batch, each time augmented otherwise"
    )
    device: Literal["auto", "host", "accelerator"] = Field(
        default="auto", description="where: on the CPU ahead of the training step, or in it; auto: in it on a GPU"
    )


class Model(Section):
    """Architecture and its components; None selects the architecture's default."""

    name: str = Field(description='an architecture, as "resnet20"')
    norm: Norm | None = Field(default=None, description='normalization; "none" for a net without')
    norm_groups: int = Field(default=8, ge=1, description='groups of norm "group"; divides every width')
    activation: Activation = "relu"
    init: Annotated[str, AfterValidator(_readable_init)] = Field(
        default="he_normal", description='as "glorot_uniform", "he_normal(0.5)" for half of it, "fixed(0.01)"'
    )
    pool: Literal["max", "average", "blur"] | None = None
    head: Literal["average", "max", "classic"] | None = Field(
        default=None, description="global average or maximum; classic: two layers of 4096 units with dropout"
    )
    dropout: Fraction | None = Field(
        default=None, description="before the last layer; none: 0.5 in the classic head, 0 in the others"
    )
    block_dropout: Fraction | None = Field(default=None, description="inside each residual block")
    spatial_dropout: Fraction = Field(default=0.0, description="of whole channels, inside each block or after a stage")
    stem: Literal["cifar", "imagenet"] | None = None
    variant: Literal["v1", "v1.5", "v2", "d"] | None = Field(default=None, description="of ResNets")
    shortcut: Literal["A", "B", "C", "none"] | None = Field(default=None, description="of residual blocks")
    zero_init_residual: bool | None = Field(
        default=None,
        description="the last gamma of a residual block starts at 0 (Goyal et al. 2017, section 5.1), but at 1 where "
        "shortcut A adds channels, which would never learn; none: true where blocks have such a gamma",
    )
    branch_scale: Literal["skipinit", "none"] | None = Field(
        default=None,
        description="learnable factors at the end of each residual branch, 0 at first (De & Smith 2020), but 1 where "
        "shortcut A adds channels; none: skipinit with norm none",
    )
    stochastic_depth: Fraction = Field(
        default=0.0, description="share of times the last block is skipped; growing linearly from the first"
    )
    squeeze_excite: int | None = Field(default=None, ge=1, description="channels a unit inside; none: without")
    depths: Depths | None = Field(default=None, description="blocks, or convolutions, of each stage")
    widths: Widths | None = Field(default=None, description="channels of each stage")


class Train(Section):
    """Duration, optimizer, schedule, loss, devices, checkpoints and error handling."""

    epochs: int = Field(ge=1, le=1_000_000)
    optimizer: Annotated[str, AfterValidator(_readable(methods.optimizer))] = Field(
        default="sgd", description='as "adamw", "lion", "muon(momentum=0.95)"; docs/training.md lists them'
    )
    learning_rate: float = Field(default=0.1, gt=0, description="the peak of the schedule")
    scale_rate: Literal["none", "linear", "sqrt"] = Field(
        default="none", description="times (data.batch_size / 256), or its square root"
    )
    layer_decay: float | None = Field(
        default=None, gt=0, le=1, description="a layer's rate to that of the one after it; none: all learn alike"
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(default=5e-4, ge=0, description="of weights; of norms and biases only if decay_all")
    decay: Literal["coupled", "decoupled"] | None = Field(
        default=None, description="added to the gradient, or apart from it; none: coupled for sgd, as in PyTorch"
    )
    decay_all: bool = Field(default=False, description="weight decay on norms and biases too")
    clip_norm: float | None = Field(default=None, gt=0, description="longest gradient, over all weights together")
    clip_value: float | None = Field(default=None, gt=0, description="largest entry of a gradient")
    accumulate: int = Field(
        default=1, ge=1, description="parts that a batch is computed in, to need less memory; gradients are added up"
    )
    schedule: Annotated[str, AfterValidator(_readable(methods.schedule))] = Field(
        default="cosine", description="as \"trapezoid(cooldown='20%')\"; docs/training.md lists them"
    )
    warmup: Duration = Field(
        default=Duration(0, "epochs"), description="linear, above 0 from the first step; not of one_cycle"
    )
    extensions: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_readable_extensions)] = Field(
        default=(), description='how the schedule goes on after its end, as ["restart(40)"]; written by `extend`'
    )
    loss: Annotated[str, AfterValidator(_readable(methods.loss))] = Field(
        default="cross_entropy", description='as "binary_cross_entropy", "focal(gamma=2.0)"'
    )
    label_smoothing: Fraction = 0.0
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay of an average of the weights, which is then what is kept; as 0.999"
    )
    lookahead: int | None = Field(default=None, ge=1, description="steps between two looks back; none: without")
    early_stopping: int | None = Field(
        default=None, ge=1, description="epochs without a better validation after which it ends; none: never"
    )
    monitor: Literal["accuracy", "loss"] = Field(
        default="accuracy", description="what of the validation is better: accuracy, then loss; or loss alone"
    )
    artefact: Literal["best", "last"] = Field(
        default="best", description="the weights that are kept: those of the best validation, or the last epoch's"
    )
    start_from: str | None = Field(
        default=None, description="a run, a checkpoint of one, or a model.keras, whose weights are the first"
    )
    seed: int = Field(default=0, ge=0, lt=2**31)
    deterministic: bool = Field(default=False, description="bit-equal runs, also on a GPU, where that costs speed")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="of the layers' arithmetic; auto: what the GPU is quick with, float32 on a CPU"
    )
    xla: bool | None = Field(default=None, description="compile the step with XLA; none: where it helps, on GPUs")
    steps_per_execution: int | None = Field(
        default=None, ge=1, description="steps that TensorFlow makes in a row; none: as many as take 0.2 s"
    )
    strategy: Literal["auto", "single", "mirrored", "multi_worker"] = Field(
        default="auto", description="devices: one, all GPUs of the machine, or many machines; auto: those there are"
    )
    sync_batch_norm: bool = Field(default=False, description="batch statistics over all devices, not of each")
    time_budget: TimeSpan | None = Field(
        default=None, description='ends within it, the schedule fitted to it; as "50 min"'
    )
    checkpoint_every: TimeSpan | Duration = Field(
        default=TimeSpan(1, "min"), description='as "5 min", "500 steps"; there is one at the end as well'
    )
    on_oom: Literal["stop", "halve"] = Field(
        default="stop", description="when memory runs out: stop, or go on with batches in twice as many parts"
    )
    loggers: Annotated[tuple[Literal["tensorboard", "wandb", "mlflow"], ...], Field(strict=False)] = ("tensorboard",)

    @model_validator(mode="after")
    def _averages_once(self):
        if isinstance(methods.optimizer(self.optimizer), methods.ScheduleFreeAdamW):
            for key in ("ema", "lookahead"):
                if getattr(self, key) is not None:
                    raise ValueError(
                        f"{key} = {getattr(self, key)} with optimizer = {self.optimizer!r}, which averages the weights "
                        f'itself; leave {key} out, or choose another optimizer, as "adamw"'
                    )
        return self


class Recipe(Section):
    """A validated recipe. `Recipe.read(path)`, `.change(**{"train.epochs": 5})`, `.to_toml()`."""

    name: FolderName = "unnamed"
    data: Data
    augment: Augment = Augment()
    model: Model
    train: Train

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], origin: str) -> Recipe:
        """Validate nested tables; NumPy scalars and paths are converted to Python numbers and strings.

        Raises:
            RecipeError: the message has `origin`, the key, the value and the allowed values.
        """
        check_nesting(tables, origin)
        try:
            return cls.model_validate(plain(tables))
        except ValidationError as error:
            raise RecipeError(f"{origin}: " + "; ".join(_explain(item) for item in error.errors())) from None

    def change(self, **changes: Any) -> Recipe:
        """Return a validated copy with keys replaced. Raise RecipeError for an unknown key or an invalid value.

        `change(**{"train.epochs": 5})` and `change(train={"epochs": 5})` are the same.
        """
        tables = self.to_dict()
        for key, value in _dotted(changes).items():
            known = all_keys()
            if key in self.__class__.model_fields and key not in known:
                raise RecipeError(f"{key} = {shown(value)} is a table; change a key of it, as {key}.{_first(key)}=...")
            if key not in known:
                raise RecipeError(f"unknown key {key!r}{_nearest_key(key)}")
            *parents, leaf = key.split(".")
            table = tables
            for parent in parents:
                table = table.setdefault(parent, {})
            table[leaf] = value
        if not changes:
            return self
        changed = Recipe.from_dict(tables, "change of " + ", ".join(changes))
        return self._shortened(changed, _dotted(changes)) if "train.epochs" in _dotted(changes) else changed

    def _shortened(self, changed: Recipe, asked: Mapping[str, Any]) -> Recipe:
        """Scale warmup and schedule of a changed recipe, with a warning, if they no longer fit into its epochs.

        Overridden keys are kept; nothing is scaled if they did not fit into the original epochs either.
        """
        before, after = self.train, changed.train
        if rescale.fit(after.warmup, after.schedule, after.epochs):
            return changed
        if not rescale.fit(before.warmup, before.schedule, before.epochs):
            return changed
        share, scaled = after.epochs / before.epochs, {}
        if "train.warmup" not in asked and (warmup := rescale.scaled(after.warmup, share)) != after.warmup:
            scaled["train.warmup"] = str(warmup)
        if "train.schedule" not in asked and (text := rescale.scaled_schedule(after.schedule, share)) != after.schedule:
            scaled["train.schedule"] = text
        if not scaled:
            return changed
        said = [f"{key} is {value!r}" for key, value in scaled.items()]
        warnings.warn(
            f"the schedule of {before.epochs} epochs has no room in {after.epochs}: scaled, {' and '.join(said)}",
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


def _dotted(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten changes to dotted keys: train={"epochs": 5} becomes {"train.epochs": 5}."""
    flat = {}
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
        raise RecipeError("; ".join(map(_explain, items))) from None


def all_keys() -> list[str]:
    """Return all dotted keys of a recipe, for example "train.epochs"."""
    sections = {name: field.annotation for name, field in Recipe.model_fields.items() if name != "name"}
    return ["name"] + [f"{name}.{key}" for name, section in sections.items() for key in section.model_fields]


def read_toml(path: Path) -> dict[str, Any]:
    """Read the tables of a TOML file. Raise RecipeError if it cannot be read or is not TOML."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise RecipeError(f"{path}: values are nested too deep; a recipe needs 3 levels") from None
    check_nesting(tables, str(path))
    return tables


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep merge of two nested tables, in which `over` takes precedence; neither is modified."""
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        both_tables = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both_tables else copy.deepcopy(value)
    return result


def parse_override(text: str) -> tuple[str, Any]:
    """Parse "train.epochs=5" into key and value; a value that is not TOML is a string. Raise RecipeError."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"cannot read {text!r}; write a change as key=value, for example train.epochs=5")
    try:
        tables = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return key.strip(), value
    except RecursionError:
        raise RecipeError(f"{key.strip()}: the value is nested too deep; a recipe needs 3 levels") from None
    return key.strip(), tables["value"] if list(tables) == ["value"] else value


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of recipe files, for editors; no key is required, since a file may use `extends`."""
    schema = Recipe.model_json_schema()
    schema["properties"]["extends"] = {"type": "string", "description": "a recipe's name or path to start from"}
    schema.pop("required", None)
    for section in schema["$defs"].values():
        section.pop("required", None)
    return schema


def _explain(item: Mapping[str, Any]) -> str:
    """Return one pydantic error as a message: the key, the value, the allowed values."""
    # A union adds the tried type's name to the place; a key is only as deep as the recipe's tables.
    path = [str(part) for part in item["loc"]]
    known = all_keys()
    key = ".".join(path)
    if item["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_nearest_key(key)}"
    key = next((".".join(path[:n]) for n in (2, 1) if ".".join(path[:n]) in known), key or "recipe")
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error" and isinstance(item["input"], Mapping):
        return f"{key}: {message}"  # of keys that do not fit together; the message names them
    if item["type"] == "missing":
        return f"{key} is missing; it has no default"
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        allowed = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return f"{key} = {shown(item['input'])}; allowed: {', '.join(allowed)}{_did_you_mean(item['input'], allowed)}"
    if item["type"] == "tuple_type":
        message = f"give a list, as {json.dumps([item['input']], default=str)}"
    return f"{key} = {shown(item['input'])}; {message[:1].lower() + message[1:]}"


def _nearest_key(key: str) -> str:
    """Return a hint with keys similar to an unknown one, or abbreviated by it, for example lr."""
    known = all_keys()
    leaf = key.rpartition(".")[2]
    short = {"".join(word[:1] for word in one.partition(".")[2].split("_")): one for one in known}
    if len(leaf) > 1 and leaf in short:
        return f" (did you mean {short[leaf]}?)"
    return _did_you_mean(key, [*known, *Recipe.model_fields, "extends"]) or "; `cnnrecipes show RECIPE` lists all keys"


def _did_you_mean(name: str, allowed: list[str]) -> str:
    hint = nearest(name, allowed)
    return hint if "did you mean" in hint else ""
