"""Invalid and unusual calls that a new user makes: each raises a documented error or warns.

A case is a call, the class of its error (or of its warning), and words of the message that name the thing, the
value and the remedy. Almost all fail before training starts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.cli import app
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.toml import parse_override

RANDOM = np.random.default_rng(0)
Y = np.arange(40) % 2
X = (RANDOM.integers(0, 100, (40, 8, 8, 3)) + 150 * Y[:, None, None, None]).astype(np.uint8)
GRAY = X[..., 0]
SMALL = {"model.name": "resnet8", "data.image_size": 8, "data.channels": None, "data.batch_size": 8, "augment.ops": []}


class Case(NamedTuple):
    """One unusual call; its argument holds a trained run, a folder of two classes, an empty and a temporary one."""

    name: str
    call: Callable[[SimpleNamespace], Any]
    error: type[BaseException]
    words: tuple[str, ...]


def case(name: str, call: Callable[[SimpleNamespace], Any], error: type[BaseException], *words: str) -> Case:
    return Case(name, call, error, words)


def change(error: type[BaseException] = cr.RecipeError, *words: str, **keys: Any) -> Case:
    """Change keys of a shipped recipe; dots are written as two underscores."""
    changes = {key.replace("__", "."): value for key, value in keys.items()}
    name = "change " + ", ".join(f"{key}={str(value)[:40]}" for key, value in changes.items())
    return case(name, lambda here: catalog.load("resnet20_cifar").change(**changes), error, *words)


def fit(here: SimpleNamespace, data: Any = None, recipe: Any = "resnet20_cifar", **options: Any) -> cr.Run:
    changes = {key: value for key, value in options.items() if "." in key}
    rest = {key: value for key, value in options.items() if "." not in key}
    small = SMALL if recipe == "resnet20_cifar" else {}
    return cr.fit(recipe, data, **{"workdir": here.tmp / "runs", "progress": False, **rest}, **{**small, **changes})


def command(*arguments: Any) -> Callable[[SimpleNamespace], Any]:
    """Run the command line with these arguments; {run}, {tmp}, {folder} and {empty} are filled in."""
    return lambda here: here.command(*(str(one).format(**vars(here)) for one in arguments))


RECIPES = [
    change(cr.RecipeError, "train.epochs", "9223372036854775807", "less than or equal to 1000000",
         train__epochs=2**63 - 1),
    change(cr.RecipeError, "train.epochs", "0", "greater than or equal to 1", train__epochs=0),
    change(cr.RecipeError, "train.epochs", "1.5", "integer", train__epochs=1.5),
    change(cr.RecipeError, "train.epochs", "'ten'", "integer", train__epochs="ten"),
    change(cr.RecipeError, "train.epochs", "array([1, 2])", "integer", train__epochs=np.array([1, 2])),
    change(cr.RecipeError, "unknown key 'epochs'", "did you mean train.epochs", epochs=5),
    change(cr.RecipeError, "unknown key 'train.epoch'", "train.epochs", train={"epoch": 5}),
    change(cr.RecipeError, "train = 5 is a table", "train.epochs=...", train=5),
    change(cr.RecipeError, "unknown key 'lr'", "did you mean optimizer.learning_rate", lr=0.1),
    change(cr.RecipeError, "unknown key 'verbose'", "cnnrecipes show RECIPE", verbose=1),
    change(cr.RecipeError, "optimizer.learning_rate", "-0.1", "greater than 0", optimizer__learning_rate=-0.1),
    change(cr.RecipeError, "optimizer.learning_rate", "nan", "finite", optimizer__learning_rate=float("nan")),
    change(cr.RecipeError, "optimizer.learning_rate", "'0,1'", "number", optimizer__learning_rate="0,1"),
    change(cr.RecipeError, "optimizer.warmup", "'5'", "5 epochs", optimizer__warmup="5"),
    change(cr.RecipeError, "optimizer.warmup", "'-1 epochs'", "5 epochs", optimizer__warmup="-1 epochs"),
    change(cr.RecipeError, "optimizer.warmup", "'101%'", "at most 100%", optimizer__warmup="101%"),
    change(cr.RecipeError, "optimizer.schedule", "'cosin'", "cosine", optimizer__schedule="cosin"),
    change(cr.RecipeError, "multi_step", "milestones", optimizer__schedule="multi_step"),
    change(cr.RecipeError, "optimizer.name", "'adam'", "adamw", optimizer__name="adam"),
    change(cr.RecipeError, "train.loss", "'mse'", "cross_entropy", train__loss="mse"),
    change(cr.RecipeError, "train.time_budget", "'50'", "50 min", train__time_budget="50"),
    change(cr.RecipeError, "train.seed", "-1", "greater than or equal to 0", train__seed=-1),
    change(cr.RecipeError, "model.depths", "[0, 0, 0]", "at least one block", model__depths=[0, 0, 0]),
    change(cr.RecipeError, "model.depths", "[]", "at least 1", model__depths=[]),
    change(cr.RecipeError, "model.depths", "3", "[3]", model__depths=3),
    change(cr.RecipeError, "model.norm", "'layernorm'", "layer", model__norm="layernorm"),
    change(cr.RecipeError, "model.dropout", "1.0", "less than 1", model__dropout=1.0),
    change(cr.RecipeError, "data.image_size", "[32]", "[32, 48]", data__image_size=[32]),
    change(cr.RecipeError, "data.image_size", "[32, 32, 3]", "[32, 48]", data__image_size=[32, 32, 3]),
    change(cr.RecipeError, "data.image_size", "'32x48'", "[32, 48]", data__image_size="32x48"),
    change(cr.RecipeError, "data.image_size", "3", "from 4 to 10000", data__image_size=3),
    change(cr.RecipeError, "data.image_size", "1000000", "from 4 to 10000", data__image_size=10**6),
    change(cr.RecipeError, "short_side 40", "(64, 48)", "at least", data__image_size=[64, 48], data__short_side=40),
    change(cr.RecipeError, "data.batch_size", "0", "greater than or equal to 1", data__batch_size=0),
    change(cr.RecipeError, "data.validation", "20", "less than 1", data__validation=20.0),
    change(cr.RecipeError, "augment.ops", "'flip_lr'", '["flip_lr"]', augment__ops="flip_lr"),
    change(cr.RecipeError, "'fliplr'", "flip_lr", augment__ops=["fliplr"]),
    change(cr.RecipeError, "name", "'../../x'", "without /", name="../../x"),
    change(cr.RecipeError, "name", "'a\\nb'", "printable", name="a\nb"),
    change(cr.RecipeError, "name", "''", "1 to 100", name=""),
    change(cr.RecipeError, "name", "1 to 100", "(302 characters)", name="x" * 300),
    case("recipe 5", lambda here: catalog.load(5), cr.RecipeError, "recipe is 5", "a Recipe"),
    case("recipe None", lambda here: cr.fit(None), cr.RecipeError, "recipe is None", "give a shipped name"),
    case("recipe of a list", lambda here: cr.fit(["resnet8_digits"]), cr.RecipeError, "['resnet8_digits']", "give"),
    case("empty dict", lambda here: catalog.load({}), cr.RecipeError, "the recipe", "data is missing"),
    case("dict without model", lambda here: catalog.load({"data": {"name": "digits"}, "train": {"epochs": 1}}),
         cr.RecipeError, "the recipe", "model is missing"),
    case("dict with a typing error", lambda here: catalog.load({"extends": "resnet8_digits", "trian": {"epochs": 1}}),
         cr.RecipeError, "trian", "did you mean train"),
    case("dict that extends nothing", lambda here: catalog.load({"extends": "resnet9"}), cr.UnknownNameError,
         "resnet9"),
    case("a circular dict", lambda here: catalog.load(circular()), cr.RecipeError, "nested more than 8 levels deep"),
    case("deep lists in TOML", lambda here: catalog.load(here.file("deep.toml", "a = " + "[" * 5000 + "]" * 5000)),
         cr.RecipeError, "deep.toml", "nested too deep"),
    case("deep keys in TOML", lambda here: catalog.load(here.file("keys.toml", ".".join("a" * 5000) + " = 1")),
         cr.RecipeError, "keys.toml", "nested more than 8 levels deep"),
    case("a deep override", lambda here: parse_override("train.epochs=" + "[" * 5000), cr.RecipeError,
         "nested too deep"),
    case("a folder as recipe", lambda here: fit(here, recipe=str(here.folder) + "/"), cr.RecipeError, "folder",
         "--data"),
    case("a mistyped recipe", lambda here: fit(here, recipe="resnet20_cifa"), cr.UnknownNameError, "resnet20_cifa",
         "did you mean resnet20_cifar"),
    case("a missing file", lambda here: fit(here, recipe="mine.toml"), cr.RecipeError, "mine.toml", "give the path"),
    case("a contradiction in a file", lambda here: fit(here, (X, Y), here.file("own.toml", CONTRADICTION)),
         cr.RecipeError, "optimizer.warmup = '9 epochs'", "training of 8", "shorter"),
    case("a warm-up asked for", lambda here: fit(here, (X, Y), **{"train.epochs": 1, "optimizer.warmup": "5 epochs"}),
         cr.RecipeError, "optimizer.warmup = '5 epochs'", "shorter"),
    case("milestones of 182 epochs in one", lambda here: catalog.load("resnet20_cifar").change(
        **{"optimizer.schedule": "multi_step(['91 epochs', '136 epochs'])"}).change(**{"train.epochs": 1}),
        cr.CNNRecipesWarning, "182 epochs", "does not fit into 1", "0.5 epochs"),
]  # fmt: skip


def circular() -> dict:
    tables: dict = {}
    tables["data"] = tables
    return tables


CONTRADICTION = """extends = "resnet20_cifar"
[model]
name = "resnet8"
[data]
image_size = 8
batch_size = 8
[augment]
ops = []
[optimizer]
warmup = "9 epochs"
[train]
epochs = 2
"""


def data(name: str, given: Any, *words: str, error: type[BaseException] = cr.DataError) -> Case:
    """`fit` with data that it refuses."""
    make = given if callable(given) else lambda here: given
    return case(f"data: {name}", lambda here: fit(here, make(here)), error, *words)


def with_nan() -> np.ndarray:
    images = X / 255
    images[7, 0, 0, 0] = np.nan
    return images


DATA = [
    data("images alone", X, "train is ndarray", "data=(images, labels)"),
    data("three arrays", (X, Y, Y), "tuple", "data=(images, labels)"),
    data("labels first", (Y, X), "(40,)", "(40, 8, 8, 3)", "swap"),
    data("keras.datasets", ((X, Y), (X, Y)), "load_data()", "'test': data[1]"),
    data("too few labels", (X, Y[:9]), "40 images and 9 labels", "one label for each"),
    data("channels first", (X.transpose(0, 3, 1, 2), Y), "(40, 3, 8, 8)", "channels are first",
         "transpose(0, 2, 3, 1)"),
    data("RGBA", (np.concatenate([X, X[..., :1]], -1), Y), "(40, 8, 8, 4)", "images[..., :3]"),
    data("flat rows", (X.reshape(40, -1), Y), "(40, 192)", "reshape(-1, H, W)"),
    data("one image", (X[0], Y), "images"),
    data("no image", (X[:0], Y[:0]), "(0, 8, 8, 3)", "give (N, H, W, C)"),
    data("NaN", lambda here: (with_nan(), Y), "nan", "1 of 40, first in image 7", "remove them"),
    data("negative", (X.astype(int) - 300, Y), "-300", "give 0..255"),
    data("-1..1", (X / 127.5 - 1, Y), "-1..", "(images + 1) * 127.5"),
    data("standardized", ((X - 120.0) / 60, Y), "-2", "images * std + mean"),
    data("16 bits", (X.astype(np.uint16) * 257, Y), "give 0..255", "images // 257"),
    data("0..1.3", (X / 200, Y), "neither 0..1 nor 0..255", "clip(0, 1)"),
    data("text", (np.full((40, 8, 8, 3), "x"), Y), "<U1", "numbers, 0..255"),
    data("bool", (X > 9, Y), "bool", "numbers, 0..255"),
    data("complex", (X * 1j, Y), "complex128", "numbers, 0..255"),
    data("images of two sizes", ([X[0], X[1, :5]] * 20, Y), "differ in shape", "one shape"),
    data("two ranges", {"train": (X / 255, Y), "test": (X * 1.0, Y)}, "train images 0..1, test images 0..255",
         "all of them"),
    data("two sizes of splits", {"train": (X, Y), "test": (X[:, :4], Y)}, "(8, 8, 3)", "(4, 8, 3)", "one size"),
    data("fractions as labels", (X, Y + 0.5), "float64", "0.5", "integers or names"),
    data("gaps in labels", (X, np.where(Y, 1.0, np.nan)), "nan", "no missing values"),
    data("None among labels", (X, [None, "a"] * 20), "None", "no missing values"),
    data("soft labels", (X, np.full((40, 2), 0.5)), "(40, 2)", "not one-hot", "[0.5, 0.5] in row 0"),
    data("several classes an image", (X, np.ones((40, 2), int)), "not one-hot", "[1, 1] in row 0",
         "one class per image"),
    data("one-hot with an empty column", (X, np.eye(3)[Y]), "no training image of class '2'", "add images"),
    data("labels of three axes", (X, np.zeros((40, 2, 2))), "(40, 2, 2)", "(N,)"),
    data("one class", (X, Y * 0), "'0'", "at least two classes"),
    data("names and numbers", {"train": (X, Y), "test": (X, ["a", "b"] * 20)}, "a mixture", "either names"),
    data("too few class names", {"train": (X, Y * 2), "class_names": ["a", "b"]}, "label 2", "0..1"),
    data("class names as text", {"train": (X, Y), "class_names": "ab"}, "'ab'", "list of names"),
    data("class names twice", {"train": (X, Y), "class_names": ["a", "a"]}, "repeat", "['a', 'a']"),
    data("no train", {"test": (X, Y)}, "no 'train'", "data={'train'"),
    data("a mistyped split", {"trian": (X, Y)}, "'trian'", "train", error=cr.UnknownNameError),
    data("a split twice", {"train": (X, Y), "val": (X, Y), "valid": (X, Y)}, "validation twice", "'valid'"),
    data("a key that is no text", {0: (X, Y)}, "key of data 0", "train", error=cr.UnknownNameError),
    data("a dictionary in Keras' words", {"x": X, "y": Y}, "'x'", "train", error=cr.UnknownNameError),
    data("a number", 7, "int", "data=(images, labels)"),
    data("a generator", lambda here: ((x, y) for x, y in zip(X, Y, strict=True)), "generator", "data=(images, labels)"),
    data("a missing folder", "/no/where", "/no/where", "does not exist", "folder with one sub-folder"),
    data("an empty folder", lambda here: here.empty, "empty", "sub-folder"),
    case("data: other channels", lambda here: fit(here, (GRAY, Y), **{"data.channels": 3}), cr.DataError, "1 channel",
         "data.channels=1"),
]  # fmt: skip


def with_masks(here: SimpleNamespace) -> None:
    """Masks are accepted with a warning; a contradiction then ends the call before training."""
    with pytest.raises(cr.TrainingError):
        fit(here, (X // 128, Y), **{"train.early_stopping": 3, "data.validation": 0.0})


FIT = [
    case("masks of 0 and 1", with_masks, cr.CNNRecipesWarning, "train images look like 0..1", "images * 255"),
    case("workdir 5", lambda here: fit(here, (X, Y), workdir=5), cr.RunError, "workdir is 5", "path"),
    case("workdir None", lambda here: fit(here, (X, Y), workdir=None), cr.RunError, "workdir is None", "path"),
    case("workdir is a file", lambda here: fit(here, (X, Y), workdir=here.file("f", "")), cr.RunError, "f'",
         "workdir="),
    case("a name with slashes", lambda here: fit(here, (X, Y), name="../x"), cr.RunError, "'../x'", "without /"),
    case("a name that is a number", lambda here: fit(here, (X, Y), name=5), cr.RunError, "name is 5", "printable"),
    case("a name that is taken", lambda here: fit(here, (X, Y), workdir=here.run.folder.parent,
         name=here.run.folder.name),
         cr.RunError, "exists already", "another name"),
    case("start_from nothing", lambda here: fit(here, (X, Y), **{"train.start_from": "/no/where"}), cr.RunError,
         "/no/where", "give"),
    case("start_from a missing checkpoint", lambda here: fit(here, (X, Y), **{"train.start_from": "/no/best.npz"}),
         cr.RunError, "/no/best.npz", "does not exist", "give a run"),
    case("start_from another program's file", lambda here: fit(here, (X, Y), **{"train.start_from": here.foreign()}),
         cr.RunError, "foreign.npz", "not a checkpoint of cnnrecipes", "load_state_dict"),
    case("start_from other classes", lambda here: fit(here, (X, Y), **{"train.start_from": here.best}), cr.RunError,
         "best.npz", "has shape", "set the same model"),
    case("early stopping without validation", lambda here: fit(
        here, (X, Y), **{"train.early_stopping": 3, "data.validation": 0.0}), cr.TrainingError, "train.early_stopping",
        "data.validation"),
    case("images too small for the net", lambda here: fit(here, (X, Y), **{"model.name": "vgg16"}), cr.ModelError,
         "8x8", "32x32"),
    case("repeats that do not divide", lambda here: fit(here, (X, Y), **{"augment.repeats": 3}), cr.RecipeError,
         "augment.repeats = 3", "8", "data.batch_size"),
    case("a model that there is not", lambda here: fit(here, (X, Y), **{"model.name": "resnet19"}), cr.UnknownNameError,
         "resnet19", "resnet18"),
]  # fmt: skip

RUNS = [
    case("evaluate an unknown name", lambda here: here.run.evaluate((GRAY, ["cat", "1"] * 20)), cr.DataError, "'cat'",
         "model has no class", "leave the images of this class out"),
    case("evaluate an unknown number", lambda here: here.run.evaluate((GRAY, Y + 9)), cr.DataError, "'10'",
         "leave the images of this class out"),
    case("evaluate unknown class names", lambda here: here.run.evaluate({"test": (GRAY, Y), "class_names": ["1",
         "dog"]}),
         cr.DataError, "'dog'", "model has no class"),
    case("evaluate other columns", lambda here: here.run.evaluate((GRAY, np.eye(2)[Y])), cr.DataError, "2 columns",
         "10 classes"),
    case("evaluate a folder of other classes", lambda here: here.run.evaluate(here.folder), cr.DataError, "'ant'",
         "model does not have", "leave these images out"),
    case("evaluate RGB with a gray model", lambda here: here.run.evaluate((X, Y)), cr.DataError, "3 channel(s)",
         "trained on 1", "convert"),
    case("evaluate an empty folder", lambda here: here.run.evaluate(here.empty), cr.DataError, "empty", "sub-folder"),
    case("evaluate no images", lambda here: here.run.evaluate((GRAY[:0], Y[:0])), cr.DataError, "(0, 8, 8, 1)", "give"),
    case("evaluate a split there is not", lambda here: here.run.evaluate(split="tset"), cr.DataError, "no tset split",
         "train, validation, test"),
    case("evaluate a split that is not given", lambda here: here.run.evaluate({"test": (GRAY, Y), "val": (GRAY, Y)},
         split="train"),
         cr.DataError, "no train split", "it has validation, test"),
    case("evaluate masks", lambda here: here.run.evaluate((GRAY // 128, Y)), cr.CNNRecipesWarning, "look like 0..1",
         "images * 255"),
    case("load a number", lambda here: cr.load(5), cr.RunError, "by its path", "5"),
    case("load a folder that is no run", lambda here: cr.load(here.folder), cr.RunError, "not a run folder", "fit"),
    case("load a missing run", lambda here: cr.load("runs/none"), cr.RunError, "runs/none", "give one"),
    case("resume a finished run", lambda here: cr.resume(here.run), cr.RunError, "is finished", "cnnrecipes extend"),
    case("resume nothing", lambda here: cr.resume("runs/none"), cr.RunError, "runs/none", "give one"),
    case("resume with more epochs", lambda here: cr.resume(here.unfinished(), **{"train.epochs": 9}), cr.RunError,
         "train.epochs (6 to 9) cannot change", "only keys of [devices] and [logging] can", "cnnrecipes extend",
         "train.start_from="),
    case("resume with an unknown key", lambda here: cr.resume(here.unfinished(), **{"train.epoch": 9}), cr.RecipeError,
         "'train.epoch'", "train.epochs"),
    case("extend an unfinished run", lambda here: cr.extend(here.unfinished(), 2, schedule="restart"), cr.RunError,
         "not finished", "cnnrecipes resume"),
    case("extend by nothing", lambda here: cr.extend(here.run, 0, schedule="restart"), cr.RecipeError, "0 epochs",
         "above 0"),
    case("extend in an unknown way", lambda here: cr.extend(here.run, 1, schedule="again"), cr.UnknownNameError,
         "'again'", "restart"),
    case("extend at a rate", lambda here: cr.extend(here.run, 1, schedule="restart", learning_rate=0.1), cr.RecipeError,
         "learning_rate", "schedule='constant'"),
    case("extend into a number", lambda here: cr.extend(here.run, 1, schedule="restart", workdir=5), cr.RunError,
         "workdir is 5", "path"),
    case("predict unfinished", lambda here: cr.load(here.unfinished()).predict(GRAY[0]), cr.CNNRecipesWarning,
         "not finished", "the best so far", "cnnrecipes resume"),
]  # fmt: skip


def predict(name: str, given: Any, *words: str, error: type[BaseException] = cr.DataError, **options: Any) -> Case:
    """`predict` of a model of 8x8 grayscale images, with input that it refuses."""
    make = given if callable(given) else lambda here: given
    return case(f"predict: {name}", lambda here: here.run.predict(make(here), **options), error, *words)


PREDICT = [
    predict("a missing file", "cat.jpg", "cat.jpg", "does not exist"),
    predict("an empty folder", lambda here: here.empty, "empty", "no images", "give another"),
    predict("a pattern without matches", lambda here: f"{here.tmp}/*.jpg", "*.jpg", "matches nothing", "give another"),
    predict("a pattern of texts", lambda here: here.file("a.txt", "x").with_name("*.txt"), "1 entries, none an image"),
    predict("a text as image", lambda here: here.file("a.jpg", "x"), "a.jpg", "cannot read"),
    predict("an empty folder in a list", lambda here: [GRAY[0], here.empty], "empty", "no images", "give another"),
    predict("a damaged file in a folder", lambda here: here.damaged(), "1 of 3 images cannot be read", "cut.png",
            error=cr.CNNRecipesWarning),
    predict("RGB", X[0], "3 channel(s)", "trained on 1", "mean"),
    predict("RGBA", np.concatenate([X, X[..., :1]], -1)[0], "(1, 8, 8, 4)", "images[..., :3]"),
    predict("a batch of RGB, channels first", X.transpose(0, 3, 1, 2), "channels are first", "transpose"),
    predict("a number", 5, "shape ()", "(H, W, C)"),
    predict("None", None, "shape ()", "(H, W, C)"),
    predict("a row", np.zeros(64), "(64,)", "(H, W)"),
    predict("an empty batch", GRAY[:0, ..., None], "(0, 8, 8, 1)", "(N, H, W, C)"),
    predict("a video", np.zeros((1, 2, 8, 8, 1)), "(1, 2, 8, 8, 1)", "(N, H, W, C)"),
    predict("NaN", np.full((8, 8), np.nan), "NaN", "0..255 or 0..1"),
    predict("300", np.full((8, 8), 300), "300", "give 0..255"),
    predict("-1..1", GRAY[0] / 127.5 - 1, "(images + 1) * 127.5"),
    predict("0..1.2", GRAY[1] / 200, "neither 0..1 nor 0..255"),
    predict("text", np.full((8, 8), "a"), "<U1", "numbers"),
    predict("a mask", GRAY[1] // 128, "look like 0..1", "images * 255", error=cr.CNNRecipesWarning),
    predict("an unknown view", GRAY[0], "'fliplr'", "flip_lr", error=cr.UnknownNameError, tta="fliplr"),
    predict("views that are a number", GRAY[0], "tta is 3", "view", error=cr.RecipeError, tta=3),
    predict("an unknown average", GRAY[0], "'mean'", "probabilities, logits", error=cr.RecipeError, tta="flip_lr",
         average="mean"),
    predict("an average of nothing", GRAY[0], "'logits'", "give tta", error=cr.RecipeError, average="logits"),
]  # fmt: skip

COMMANDS = [
    case("fit: a mistyped key", command("fit", "resnet8_digits", "train.epoch=1"), SystemExit, "train.epoch",
         "train.epochs"),
    case("fit: data as a change", command("fit", "resnet8_digits", "data=photos/"), SystemExit, "data = 'photos/'",
         "data.name=..."),
    case("fit: no value", command("fit", "resnet8_digits", "train.epochs"), SystemExit, "'train.epochs'", "key=value"),
    case("fit: a missing folder", command("fit", "photos_from_scratch", "--data", "{tmp}/none/"), SystemExit, "none'",
         "does not exist"),
    case("fit: a taken name", command("fit", "resnet8_digits", "--workdir", "{tmp}", "--name", "empty"), SystemExit,
         "empty", "exists already", "another name"),
    case("fit: a bad name", command("fit", "resnet8_digits", "--name", "a/b"), SystemExit, "'a/b'", "without /"),
    case("resume: more epochs", command("resume", "{stopped}", "train.epochs=9"), SystemExit, "train.epochs (6 to 9)",
         "[logging] can", "cnnrecipes extend"),
    case("resume: a mistyped key", command("resume", "{stopped}", "train.epoch=9"), SystemExit, "train.epoch",
         "train.epochs"),
    case("resume: no run", command("resume", "{folder}"), SystemExit, "not a run folder"),
    case("evaluate: a folder of other classes", command("evaluate", "{folder_of_run}", "--data", "{folder}"),
         SystemExit,
         "'ant'", "model does not have"),
    case("evaluate: a model.keras", command("evaluate", "{folder_of_run}/model.keras"), SystemExit,
         "is a file; give the run folder"),
    case("predict: nothing readable", command("predict", "{folder_of_run}", "{tmp}/none.jpg"), SystemExit, "none.jpg",
         "does not exist"),
    case("predict: an empty folder", command("predict", "{folder_of_run}", "{empty}"), SystemExit, "no images"),
    case("predict: some unreadable", command("predict", "{folder_of_run}", "{gray}", "{tmp}/none.jpg"), SystemExit,
         "none.jpg", "does not exist"),
    case("predict: unfinished", command("predict", "{stopped}", "{gray}"), SystemExit, "warning: ", "the best so far"),
]  # fmt: skip

CASES = [*RECIPES, *DATA, *FIT, *RUNS, *PREDICT, *COMMANDS]


@pytest.fixture
def here(digits_run, tmp_path, monkeypatch, capsys) -> SimpleNamespace:
    """A trained run of 8x8 grayscale digits, folders of images and helpers that make files."""
    folder, empty = tmp_path / "photos", tmp_path / "empty"
    empty.mkdir()
    for i, name in enumerate(("ant", "bee")):
        (folder / name).mkdir(parents=True)
        Image.fromarray(X[i]).save(folder / name / "1.png")
    gray = tmp_path / "gray.png"
    Image.fromarray(GRAY[0]).save(gray)

    def file(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    def foreign() -> str:
        np.savez(tmp_path / "foreign.npz", kernel=np.zeros(3))
        return str(tmp_path / "foreign.npz")

    def damaged() -> Path:
        (folder / "bee" / "cut.png").write_bytes((folder / "bee" / "1.png").read_bytes()[:60])
        return folder

    def unfinished() -> Path:
        stopped = tmp_path / "stopped"
        if not stopped.exists():
            (stopped / "checkpoints").mkdir(parents=True)
            for path in ("recipe.toml", "model.json", "checkpoints/best.npz"):
                (stopped / path).write_bytes((digits_run.folder / path).read_bytes())
        return stopped

    def run_command(*arguments: str) -> None:
        monkeypatch.setattr("sys.argv", ["cnnrecipes", *arguments])
        with monkeypatch.context() as patch:
            patch.setattr(warnings, "showwarning", warnings.showwarning)  # the command line replaces it
            warnings.simplefilter("always", cr.CNNRecipesWarning)
            app.main()

    monkeypatch.chdir(tmp_path)
    best = str(digits_run.folder / "checkpoints" / "best.npz")
    found = SimpleNamespace(run=digits_run, folder_of_run=digits_run.folder, tmp=tmp_path, folder=folder, empty=empty)
    found.stopped = unfinished()
    return SimpleNamespace(
        **vars(found), gray=gray, best=best, file=file, foreign=foreign, damaged=damaged, unfinished=unfinished,
        command=run_command,
    )  # fmt: skip


@pytest.mark.parametrize("odd", CASES, ids=lambda odd: odd.name)
def test_odd_call_raises_or_warns_with_cause_and_remedy(odd, here, capsys):
    if issubclass(odd.error, Warning):
        with pytest.warns(odd.error) as caught:
            odd.call(here)
        said = " ".join(str(one.message) for one in caught if issubclass(one.category, odd.error))
    else:
        with warnings.catch_warnings(), pytest.raises(odd.error) as caught:
            odd.call(here)
        assert type(caught.value) is odd.error  # the exact class, not a subclass
        said = str(caught.value)
    if odd.error is SystemExit:
        said = capsys.readouterr().err
        assert caught.value.code == (0 if "warning: " in odd.words else 1 if "some unreadable" in odd.name else 2)
        assert len(said.splitlines()) == 1
    assert "Traceback" not in said
    assert len(said) < 1200
    for word in odd.words:
        assert word in said, said
    assert not (here.tmp / "runs").exists()
