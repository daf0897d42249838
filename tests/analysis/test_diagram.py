"""Architecture diagrams: layout without overlaps, content, file formats."""

from __future__ import annotations

from itertools import combinations

import keras
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import cnnrecipes as cr
from cnnrecipes.analysis.diagram import _short, diagram

MODELS = {
    "resnet20": lambda: cr.build("resnet20", input_shape=(32, 32, 3), classes=10),
    "resnet152": lambda: cr.build("resnet152", input_shape=(64, 64, 3), classes=1000),
    "vgg16": lambda: cr.build("vgg16", input_shape=(32, 32, 3), classes=10, norm="group"),
    "MobileNetV2": lambda: keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3)),
    "InceptionV3": lambda: keras.applications.InceptionV3(weights=None, input_shape=(128, 128, 3)),
    "one layer": lambda: keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)]),
}


def texts(figure):
    """The texts of a figure and their bounding boxes, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes[0].texts]


@pytest.mark.parametrize("name", MODELS)
def test_texts_are_inside_the_figure_and_do_not_overlap(name):
    figure = diagram(MODELS[name]())
    width, height = figure.get_size_inches() * figure.dpi
    placed = texts(figure)
    for text, box in placed:
        assert 0 <= box.x0 < box.x1 <= width, text
        assert 0 <= box.y0 < box.y1 <= height, text
    for (one, a), (other, b) in combinations(placed, 2):
        # Lines of one block are close: an overlap below 2 pixels is not visible.
        apart = min(a.x1, b.x1) - max(a.x0, b.x0) < 2 or min(a.y1, b.y1) - max(a.y0, b.y0) < 2
        assert apart, f"{one!r} on {other!r}"


def test_diagram_has_stages_blocks_and_parameter_counts():
    said = [text for text, _ in texts(diagram(MODELS["resnet152"]()))]
    for text in ("resnet152", "stage3", "4x4x1024", "x 35", "1x1 conv 1024, norm", "40.6 M parameters"):
        assert text in said
    assert any(text.startswith("60.2 M parameters, ") for text in said)  # torchvision: 60.19 M


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0"), (650, "650"), (999, "999"), (1000, "1.00 k"), (999_499, "999 k"), (999_500, "1.00 M"), (15e9, "15.0 G")],
)
def test_counts_have_three_significant_digits(count, expected):
    assert _short(int(count)) == expected


def test_multiple_inputs_and_outputs_are_drawn():
    one, two = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    x = keras.layers.Add()([one, keras.layers.Conv2D(1, 3, padding="same")(two)])
    model = keras.Model([one, two], [keras.layers.Flatten()(x), keras.layers.ReLU()(x)], name="forked")
    said = [text for text, _ in texts(diagram(model))]
    assert "forked" in said
    assert "10 parameters, 576 multiply-adds for one image" in said


def test_figure_width_is_limited():
    assert diagram(MODELS["InceptionV3"]()).get_size_inches()[0] < 13


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_suffix_selects_the_file_format(tmp_path, suffix, start):
    path = tmp_path / f"net{suffix}"
    diagram(MODELS["resnet20"](), path)
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_suffixes_and_models_without_a_graph_are_refused(tmp_path):
    with pytest.raises(cr.ModelError, match=r"net.gif: the suffix '.gif' is not supported; give .svg or .png"):
        diagram(MODELS["resnet20"](), tmp_path / "net.gif")
    with pytest.raises(cr.ModelError, match="no graph of layers"):
        diagram(keras.Sequential([keras.layers.Dense(3)]))
