"""Keys of a recipe with their types and defaults: its tables as frozen, validated pydantic models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import to_jsonable_python

from cnnrecipes.augment import operation
from cnnrecipes.optim.loss_registry import LOSSES
from cnnrecipes.optim.optimizer_registry import OPTIMIZERS
from cnnrecipes.optim.schedule_extension_registry import EXTENSIONS
from cnnrecipes.optim.schedule_registry import SCHEDULES
from cnnrecipes.optim.weight_averages import WEIGHT_AVERAGES
from cnnrecipes.recipe.search import Search
from cnnrecipes.recipe.section import Section
from cnnrecipes.recipe.values import folder_name, image_size, some_blocks, watch_interval
from cnnrecipes.syntax import initialization
from cnnrecipes.syntax.duration import Duration, TimeSpan

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
LoggerName = Literal["tensorboard", "wandb", "mlflow"]  # each has a class in training/loggers.py
WatchInterval = Annotated[Literal["auto", "off"] | Duration, BeforeValidator(watch_interval)]
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
    epochs = [EXTENSIONS.parse(text).epoch for text in texts]
    if epochs != sorted(set(epochs)):
        raise ValueError("each extension begins after the one before")
    return texts


def _readable_init(text: str) -> str:
    initialization.parse(text)
    return text


class Data(Section):
    """Recipe table `data`: data set, image size, splits and standardization."""

    name: str = Field(
        description='"digits", a TFDS name, for example "cifar10", or a folder with one sub-folder per class'
    )
    batch_size: int = Field(default=128, ge=1)
    image_size: ImageSize | None = Field(
        default=None, description="in pixels: 64, or height and width, for example [32, 48]; none: as stored"
    )
    channels: Literal[1, 3] | None = Field(
        default=None, description="1: grayscale, 3: RGB; none: as stored, photos as RGB"
    )
    resize: Literal["crop", "pad"] = Field(
        default="crop",
        description="crop: resize the short side, then center crop; pad: the whole image with black borders",
    )
    short_side: int | None = Field(
        default=None,
        ge=4,
        description="length of the short side, in pixels, before the center crop; none: the short side of image_size",
    )
    standardize: Literal["train", "imagenet", "image", "model", "none"] = Field(
        default="train",
        description="mean and standard deviation per channel: of the training split, of ImageNet, or of each image; "
        "model: the preprocessing of a pretrained backbone, which always applies to one; none: no standardization",
    )
    layout: Literal["auto", "splits", "classes"] = Field(
        default="auto", description="meaning of a folder's sub-folders; auto: detected, an error if ambiguous"
    )
    corrections: str | None = Field(
        default=None,
        description="CSV file of corrected labels, with columns file and label, for example the one that "
        "`cnnrecipes label-issues` writes; applied before the splits are made",
    )
    cache: Literal["none", "memory", "disk"] = Field(
        default="none", description="cache of decoded photos for later epochs; the batches do not change"
    )
    cache_gb: float = Field(default=4.0, gt=0, description="maximum size of the cache of a split, in GiB")
    validation: Fraction = Field(default=0.1, description="fraction split off if the data has no validation split")
    test: Fraction = Field(default=0.0, description="fraction split off if the data has no test split")
    split: Literal["stratified", "content"] = Field(
        default="stratified",
        description="stratified: by class; content: by a hash of each image, so that adding images moves no other",
    )
    split_seed: int = Field(default=0, ge=0, lt=2**31)
    train_images: int | None = Field(
        default=None,
        ge=1,
        description="number of training images to use, a part of the training split with the shares of its classes, "
        "drawn by train.seed; smaller parts are inside larger ones; none: all",
    )
    folds: int | None = Field(default=None, ge=2, description="number of folds; the validation split is one of them")
    fold: int = Field(default=0, ge=0, description="number of the validation fold, from 0")
    balance: Literal["none", "class_weights", "sampling"] = Field(
        default="none",
        description="for imbalanced classes: class weights in the loss, or class-balanced sampling",
    )

    @model_validator(mode="after")
    def _leaves_training_data(self):
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation} + test {self.test} leave nothing to train on; give a sum below 1"
            )
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
    """Recipe table `augment`: random augmentation of training images, by operations in order."""

    ops: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_readable_operations)] = Field(
        default=(), description='for example ["pad_crop(4)", "flip_lr", "cutout(8)"]; docs/augmentation.md lists them'
    )
    repeats: int = Field(default=1, ge=1, description="copies of an image in a batch, each augmented independently")
    device: Literal["auto", "host", "accelerator"] = Field(
        default="auto",
        description="host: in the input pipeline on the CPU; accelerator: in the training step; auto: that on a GPU",
    )


class Model(Section):
    """Recipe table `model`: architecture and its components; None selects the architecture's default."""

    name: str = Field(description='an architecture, for example "resnet20"; docs/architectures.md lists them')
    weights: str = Field(
        default="none",
        description='initial weights of the backbone: "none" (drawn), "imagenet", a file of weights, or a run',
    )
    alpha: float | None = Field(default=None, gt=0, description="width multiplier of MobileNets")
    norm: Norm | None = Field(default=None, description='normalization layers; "none": no normalization')
    norm_groups: int = Field(default=8, ge=1, description='number of groups of norm "group"; must divide every width')
    activation: Activation = "relu"
    init: Annotated[str, AfterValidator(_readable_init)] = Field(
        default="he_normal",
        description='for example "glorot_uniform", "he_normal(0.5)" (half the standard deviation) or "fixed(0.01)"',
    )
    pool: Literal["max", "average", "blur"] | None = None
    head: str | None = Field(
        default=None,
        description="average or max: global pooling; mlp: average, and a layer of 512 units with dropout; classic: two "
        "layers of 4096 units with dropout; or a registered head",
    )
    dropout: Fraction | None = Field(
        default=None,
        description="dropout rate before the last layer; none: 0.5 in the heads mlp and classic, 0 in the others",
    )
    block_dropout: Fraction | None = Field(default=None, description="dropout rate inside each residual block")
    spatial_dropout: Fraction = Field(
        default=0.0, description="dropout rate of whole channels, inside each residual block or after a stage"
    )
    stem: Literal["cifar", "imagenet"] | None = None
    variant: Literal["v1", "v1.5", "v2", "d"] | None = Field(default=None, description="ResNet variant")
    shortcut: Literal["A", "B", "C", "none"] | None = Field(
        default=None, description="shortcut type of residual blocks"
    )
    zero_init_residual: bool | None = Field(
        default=None,
        description="initialize the last gamma of a residual block to 0 (Goyal et al. 2017, section 5.1), or to 1 if "
        "shortcut A adds channels, which would get no gradient; none: true if blocks have such a gamma",
    )
    branch_scale: Literal["skipinit", "none"] | None = Field(
        default=None,
        description="learnable per-channel factors at the end of each residual branch, initialized to 0 (De & Smith "
        "2020), or to 1 if shortcut A adds channels; none: skipinit with norm none",
    )
    stochastic_depth: Fraction = Field(
        default=0.0, description="probability of skipping the last block; increases linearly over the blocks"
    )
    squeeze_excite: int | None = Field(
        default=None, ge=1, description="reduction ratio of squeeze-and-excitation; none: no squeeze-and-excitation"
    )
    depths: Depths | None = Field(default=None, description="number of blocks, or convolutions, of each stage")
    widths: Widths | None = Field(default=None, description="channels of each stage")


class Optimizer(Section):
    """Recipe table `optimizer`: optimizer, weight decay, clipping, learning rate schedule and weight averages."""

    name: Annotated[str, AfterValidator(_readable(OPTIMIZERS.parse))] = Field(
        default="sgd", description='for example "adamw", "lion" or "muon(momentum=0.95)"; docs/training.md lists them'
    )
    learning_rate: float = Field(default=0.1, gt=0, description="peak learning rate of the schedule")
    scale_rate: Literal["none", "linear", "sqrt"] = Field(
        default="none", description="multiply the learning rate by data.batch_size / 256, or by its square root"
    )
    layer_decay: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="ratio of a layer's learning rate to that of the next layer; none: one learning rate for all",
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum of sgd")
    weight_decay: float = Field(default=5e-4, ge=0, description="weight decay; of norms and biases only if decay_all")
    decay: Literal["coupled", "decoupled"] | None = Field(
        default=None,
        description="coupled: added to the gradient; decoupled: applied to the weights; none: coupled for sgd, as in "
        "PyTorch, decoupled for others",
    )
    decay_all: bool = Field(default=False, description="apply weight decay to norms and biases too")
    clip_norm: float | None = Field(default=None, gt=0, description="maximum L2 norm of the gradient of all weights")
    clip_value: float | None = Field(default=None, gt=0, description="maximum absolute value of a gradient element")
    schedule: Annotated[str, AfterValidator(_readable(SCHEDULES.parse))] = Field(
        default="cosine", description="for example \"trapezoid(cooldown='20%')\"; docs/training.md lists them"
    )
    warmup: Duration = Field(
        default=Duration(0, "epochs"), description="linear warm-up, above 0 from the first step; not with one_cycle"
    )
    extensions: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_readable_extensions)] = Field(
        default=(),
        description='extensions of the schedule, for example ["restart(40)"]; written by `extend`',
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="decay of an exponential moving average of the weights, which is then evaluated and saved; for "
        "example 0.999",
    )
    lookahead: int | None = Field(
        default=None, ge=1, description="steps between updates of the Lookahead weights; none: no Lookahead"
    )

    @model_validator(mode="after")
    def _averages_once(self):
        if OPTIMIZERS.parse(self.name).averages_weights:
            for key in WEIGHT_AVERAGES:
                if getattr(self, key) is not None:
                    raise ValueError(
                        f"{key} = {getattr(self, key)} with optimizer.name = {self.name!r}, which averages the weights "
                        f'itself; leave {key} out, or choose another optimizer, for example "adamw"'
                    )
        return self


class Train(Section):
    """Recipe table `train`: epochs, loss, which weights are saved, numeric precision and seed."""

    epochs: int = Field(ge=1, le=1_000_000)
    microbatches: int = Field(
        default=1,
        ge=1,
        description="number of microbatches that a batch is split into, to need less memory; gradients are accumulated",
    )
    loss: Annotated[str, AfterValidator(_readable(LOSSES.parse))] = Field(
        default="cross_entropy",
        description='for example "binary_cross_entropy" or "focal(gamma=2.0)"; docs/training.md lists them',
    )
    label_smoothing: Fraction = 0.0
    early_stopping: int | None = Field(
        default=None,
        ge=1,
        description="epochs without a better validation result after which the training stops; none: never",
    )
    monitor: Literal["accuracy", "loss"] = Field(
        default="accuracy",
        description="validation metric that selects the best epoch: accuracy, then loss; or loss alone",
    )
    artifact: Literal["best", "last"] = Field(
        default="best", description="weights that are saved: those of the best epoch, or of the last"
    )
    start_from: str | None = Field(
        default=None, description="initial weights: a run, a checkpoint of a run, or a model.keras"
    )
    seed: int = Field(default=0, ge=0, lt=2**31)
    deterministic: bool = Field(default=False, description="bit-exact runs on a GPU too, at lower speed")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="compute dtype of the layers; auto: the one with Tensor Cores on the GPU, float32 on a CPU",
    )
    xla: bool | None = Field(default=None, description="compile the training step with XLA; none: on GPUs only")
    sync_batch_norm: bool = Field(
        default=False, description="batch norm statistics over all devices instead of per device"
    )
    time_budget: TimeSpan | None = Field(
        default=None, description='maximum time of the training, to which the schedule is fitted; for example "50 min"'
    )


class Transfer(Section):
    """Recipe table `transfer`: how a pretrained backbone is adapted to new classes."""

    how: Literal["none", "auto", "features", "finetune", "lora"] = Field(
        default="none",
        description="features: train a head on the features of the frozen backbone; finetune: then train the backbone "
        "too; lora: then train low-rank updates of its kernels; auto: chosen by the number of images and how well "
        "frozen features separate the classes; none: train all layers",
    )
    head: Literal["logistic", "linear", "mlp"] = Field(
        default="logistic",
        description="head on frozen features: logistic regression by L-BFGS, its L2 strength chosen on the validation "
        "split; or a linear layer, or a multilayer perceptron (model.head = mlp), trained by the recipe's optimizer",
    )
    views: int = Field(
        default=0, ge=0, description="augmented views of each training image for features, beside itself"
    )
    features_dtype: Literal["float16", "float32"] = Field(default="float32", description="dtype of cached features")
    train_from: str = Field(
        default="all", description='first stage that finetune trains, for example "stage3"; all: with the stem too'
    )
    stage_decay: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="ratio of a stage's learning rate to that of the next stage, or of the head",
    )
    batch_norm: Literal["inference", "train"] = Field(
        default="inference",
        description="batch norms of the backbone: normalize by the pretrained moving statistics; or by those of the "
        "batch, and update the moving statistics",
    )
    rank: int = Field(default=8, ge=1, description="rank of the updates of lora")
    update_rate: float = Field(
        default=5.0, gt=0, description="learning rate of low-rank updates as a multiple of optimizer.learning_rate"
    )
    cross_validation: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="also measure a logistic head on frozen features by cross-validation over training and validation "
        "images; auto: with fewer than 50 training images in the median class",
    )

    @model_validator(mode="after")
    def _trains_a_head_alone(self):
        if self.head != "logistic" and self.how != "features":
            raise ValueError(
                f"head {self.head!r} is trained on frozen features, and how is {self.how!r}; set how = 'features', or "
                "leave head out"
            )
        return self

    @property
    def trains_by_steps(self) -> bool:
        """False if the training is a logistic regression alone."""
        return not (self.how == "features" and self.head == "logistic")


class Devices(Section):
    """Recipe table `devices`: devices, steps per execution, and what happens when memory runs out."""

    resumable: ClassVar[bool] = True

    strategy: Literal["auto", "single", "mirrored", "multi_worker"] = Field(
        default="auto",
        description="one device, all GPUs of the machine, or several machines; auto: all available devices",
    )
    steps_per_execution: int | None = Field(
        default=None, ge=1, description="training steps per call of TensorFlow; none: as many as take 0.2 s"
    )
    on_oom: Literal["stop", "halve"] = Field(
        default="stop", description="when memory runs out: stop, or continue with twice as many microbatches"
    )


class Logging(Section):
    """Recipe table `logging`: checkpoint interval, loggers, the watch of the layers, and the report."""

    resumable: ClassVar[bool] = True

    checkpoint_every: TimeSpan | Duration = Field(
        default=TimeSpan(1, "min"),
        description='for example "5 min" or "500 steps"; a checkpoint is also written at the end',
    )
    loggers: Annotated[tuple[LoggerName, ...], Field(strict=False)] = ("tensorboard",)
    watch: WatchInterval = Field(
        default="auto",
        description='how often all layers are measured: an interval, for example "1 epoch" or "100 steps"; auto: each '
        "epoch, in at most 2% of the time",
    )
    report: Literal["epoch", "end", "off"] = Field(
        default="epoch",
        description="when report.html is written into the run folder; epoch: after each epoch, in at most 1% of the "
        "time, and at the end",
    )


TABLES: dict[str, type[Section]] = {
    "data": Data,
    "augment": Augment,
    "model": Model,
    "optimizer": Optimizer,
    "train": Train,
    "transfer": Transfer,
    "devices": Devices,
    "logging": Logging,
}
SEARCH = "search"  # the table of `cnnrecipes tune`, which a training does not have
RESUMABLE = tuple(name for name, table in TABLES.items() if table.resumable)


def all_keys() -> list[str]:
    """Return all dotted keys of a recipe, for example "train.epochs"."""
    tables: dict[str, type[Section]] = {**TABLES, SEARCH: Search}
    return ["name", *(f"{name}.{key}" for name, table in tables.items() for key in table.model_fields)]


def with_new_keys(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded tables with the defaults of keys that did not exist when they were recorded.

    Tables that are not those of a whole recipe are returned unchanged.
    """
    required = {name for name, table in TABLES.items() if any(f.is_required() for f in table.model_fields.values())}
    if not required <= tables.keys():
        return dict(tables)
    result = dict(tables)
    for name, table in TABLES.items():
        defaults = {
            key: to_jsonable_python(field.default, fallback=str)
            for key, field in table.model_fields.items()
            if not field.is_required() and field.default is not None
        }
        result[name] = {**defaults, **tables.get(name, {})}
    return result


def fixed_part(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables that may not change when a run is resumed: all but the resumable ones and `search`."""
    return {name: table for name, table in tables.items() if name not in (*RESUMABLE, SEARCH)}
