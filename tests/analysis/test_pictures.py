"""Every figure has a title, axis labels, a legend that matches its lines, and legible text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from legible import assert_legend_matches_lines, assert_legible
from PIL import Image

import cnnrecipes as cr
from cnnrecipes import figures
from cnnrecipes.analysis import (
    activation_statistics,
    inspect,
    inspected_model,
    plot_activation_statistics,
    plot_batch,
    plot_feature_maps,
    plot_receptive_field,
    plot_schedule,
)
from cnnrecipes.analysis.activation_statistics_plot import growth_per_layer
from cnnrecipes.analysis.map_sheet import draw
from cnnrecipes.experiments import lecture
from cnnrecipes.recipe import catalog
from cnnrecipes.runs.display import plot_history


@pytest.fixture(scope="module")
def model():
    return cr.build("resnet8", input_shape=(16, 16, 3), classes=3)


@pytest.fixture(scope="module")
def frame(model):
    return activation_statistics(model, np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32"))


def title(figure):
    return figure.get_suptitle() or figure.axes[0].get_title()


def with_both(frame):
    """Statistics of a network whose activations have a lower and an upper bound, for example ReLU6."""
    return frame.assign(saturated=frame["dead"])


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("nets", [1, 4])
def test_activation_plot_has_a_title_and_matching_legends(frame, nets, both):
    shown = with_both(frame) if both else frame
    figure = plot_activation_statistics(shown if nets == 1 else {f"he_normal({i})": shown for i in range(nets)})
    above, below = figure.axes
    assert title(figure) == "Size of activations over depth"
    assert len(above.get_legend().get_lines()) == nets
    assert_legend_matches_lines(above)
    if both:
        assert len(below.get_legend().get_lines()) == 2 * nets
        assert_legend_matches_lines(below)
    else:  # the axis label suffices
        assert below.get_legend() is None
        assert below.get_ylabel() == "share of dead channels"
    assert above.get_ylabel() == "standard deviation of a layer's output"
    assert_legible(figure)


def test_activation_plot_legend_has_the_growth_per_layer(frame):
    words = plot_activation_statistics(frame).axes[0].get_legend().get_texts()[0].get_text()
    assert words == f"x {growth_per_layer(frame):.2f} a layer"


def test_inspect_labels_the_image_it_shows(model, tmp_path, monkeypatch):
    shown = []

    def keep(title, heading, *rest):
        shown.append(heading)
        return draw(title, heading, *rest)

    monkeypatch.setattr("cnnrecipes.analysis.feature_plots.map_sheet.draw", keep)
    inspect(model, tmp_path)
    found = inspected_model.find("resnet8_digits")
    inspect(found.model, tmp_path, found.images, first=found.first)
    assert shown[0] == ("image 16x16x3", "uniform noise")
    assert shown[1] == ("image 8x8x1", found.first)


def test_recipe_and_its_run_show_the_same_validation_images(digits_run):
    recipe, run = inspected_model.find("resnet8_digits"), inspected_model.find(str(digits_run.folder))
    assert recipe.first.startswith("the first of the validation split: ")
    assert run.first == recipe.first
    assert run.noise == ""
    np.testing.assert_array_equal(run.images, recipe.images)
    with cr.data.sources.opening.open_source(None, catalog.load("resnet8_digits").data) as source:
        image, label = source.split("validation").read(0)
    np.testing.assert_array_equal(run.images[0], image)
    assert recipe.first.endswith(f": {source.class_names[label]}")


@pytest.mark.parametrize("shape", [(16, 16, 3), (16, 16, 1), (8, 32, 3)])
@pytest.mark.parametrize("channels", [1, 16])
def test_feature_maps_are_legible_and_label_their_image(shape, channels):
    net = cr.build("resnet8", input_shape=shape, classes=3)
    figure = plot_feature_maps(net, np.zeros(shape), channels=channels, about="the first of the validation split: cat")
    assert any("validation split: cat" in text.get_text() for text in figure.axes[0].texts)
    assert_legible(figure)


def test_receptive_field_plot_is_legible(model):
    figure = plot_receptive_field(model)
    assert title(figure).startswith("resnet8, center unit")
    assert_legible(figure)


def test_schedule_plot_labels_its_mark_and_is_legible():
    figure = plot_schedule("resnet20_cifar", steps_per_epoch=10, mark_epoch=6)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["extended after epoch 6"]
    assert_legend_matches_lines(figure.axes[0])
    assert len({axes.get_ylabel() for axes in figure.axes}) == 2
    assert_legible(figure)


def test_long_title_of_a_schedule_plot_is_wrapped():
    long = {"optimizer.schedule": "warm_restarts('20 epochs', growth=2.0)", "name": "a_recipe_of_a_long_name" * 3}
    assert_legible(plot_schedule(catalog.load("resnet20_cifar").change(**long), steps_per_epoch=10))


@pytest.fixture(scope="module")
def many_classes(tmp_path_factory):
    """300 classes of wide images, with names wider than a tile."""
    folder = tmp_path_factory.mktemp("many")
    images = np.random.default_rng(0).integers(0, 255, (300, 12, 24, 3)).astype("uint8")
    for i, image in enumerate(images):
        (folder / f"{i} species_with_a_name_as_long_as_some_are").mkdir()
        for k in range(2):
            Image.fromarray(image).save(folder / f"{i} species_with_a_name_as_long_as_some_are" / f"{k}.png")
    return folder


@pytest.mark.parametrize("ops", [["flip_lr"], ["mixup(1.0)"]])
def test_batch_of_300_long_class_names_is_legible(many_classes, ops):
    options = {"data.image_size": [12, 24], "augment.ops": ops, "model.name": "resnet8"}
    figure = plot_batch("photos_from_scratch", data=many_classes, **options)
    assert title(figure) == ("photos_from_scratch: the first 8 images of training step 0, and the network's input")
    assert_legible(figure)
    mixed = [axes.get_title() for axes in figure.axes[8:16] if "%" in axes.get_title()]
    assert bool(mixed) == (ops == ["mixup(1.0)"])
    assert all(text.count("%") == 2 for text in mixed)


def test_batch_of_one_grayscale_image_is_legible():
    assert_legible(plot_batch("resnet8_digits", images=1))


def test_tile_labels_keep_the_shares_and_truncate_the_names():
    names = ["a name that is much too long for a tile", "another name that is much too long", "c"]
    whole = figures.label_lines(np.array([0, 0, 1.0]), names, 1.0, 8)
    assert whole == "c"
    first, second = figures.label_lines(np.array([0.4, 0.6, 0]), names, 1.0, 8).split("\n")
    assert first.startswith("another") and first.endswith("… 60%")  # noqa: PT018
    assert second.startswith("a name") and second.endswith("… 40%")  # noqa: PT018
    assert len(figures.label_lines(np.array([1.0, 0, 0]), names, 1.0, 8).split("\n")) == 2


@pytest.mark.parametrize("epochs", [1, 3, 200])
def test_history_plot_has_integer_epochs_and_two_colors(epochs):
    values = np.linspace(0.2, 0.9, epochs)
    columns = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), values)
    figure = plot_history(pd.DataFrame({"epoch": range(1, epochs + 1), **columns}))
    assert_legend_matches_lines(figure.axes[0])
    assert_legible(figure)
    for axes in figure.axes:
        assert len({line.get_color() for line in axes.lines}) == 2
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks == [round(tick) for tick in ticks]
    assert figure.axes[1].get_ylabel() == "accuracy, %"
    assert figure.axes[1].lines[0].get_ydata()[-1] == pytest.approx(100 * values[-1])


@pytest.mark.parametrize("name", lecture.EXPERIMENTS)
def test_experiment_plot_is_legible_and_titled_with_its_question(name):
    experiment = lecture.find(name)
    one = {"loss": 0.3, "accuracy": 0.5, "val_loss": 0.4, "val_accuracy": 0.6}
    rows = [{"kind": c.kind, "size": c.size, "epoch": e, **one} for c in experiment.cases for e in (1, 2)]
    figure = lecture.picture(experiment, pd.DataFrame(rows))
    assert title(figure).replace("\n", " ") == experiment.question
    assert_legible(figure)
    assert_legend_matches_lines(figure.axes[1])
