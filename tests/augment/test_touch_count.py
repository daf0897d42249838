"""A new operation or view is one class in one file, inside or outside the package."""

from __future__ import annotations

import runpy
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import cnnrecipes as cr
from cnnrecipes import analysis
from cnnrecipes.augment import tta_views
from cnnrecipes.augment.operation import OPERATIONS, parse_list
from cnnrecipes.errors import RecipeError, RegistrationError, UnknownNameError

ROOT = Path(__file__).parents[2]
OPERATION = '''
"""One file outside of the package."""

import tensorflow as tf

from cnnrecipes.augment.operation import CropWhileDecoding, Mix, Operation, operation
from cnnrecipes.augment.tta_views import View, view


@operation("add_constant")
class AddConstant(Operation):
    """Add `amount` to every value, with this probability."""

    draws = 2
    amount: int = 1
    probability: float = 1.0

    def apply(self, images, draws, mean):
        changed = images + tf.cast(self.amount, tf.uint8)
        return tf.where(draws[:, 1, None, None, None] < self.probability, changed, images)


@operation("top_left")
class TopLeft(CropWhileDecoding):
    """Crop the upper left quarter."""

    def box(self, draws, height, width):
        return 0, 0, height // 2, width // 2


@operation("darker")
class Darker(Mix):
    """Minimum of two images, with half of each label."""

    def mix(self, images, others, weights, draws):
        return tf.minimum(images, others), tf.ones_like(weights) / 2


@view("upside_down")
class UpsideDown(View):
    """The image, flipped vertically."""

    def crops(self, resized, height, width):
        return [resized()[::-1]]
'''
IMAGES = np.random.default_rng(0).integers(0, 200, (40, 8, 8, 1), dtype=np.uint8)
DATA = (IMAGES, np.arange(40) % 2)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Register the classes of OPERATION, and remove them afterwards."""
    (tmp_path / "outside.py").write_text(textwrap.dedent(OPERATION))
    monkeypatch.syspath_prepend(tmp_path)
    for registry in (OPERATIONS, tta_views.VIEWS):
        list(registry)
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    monkeypatch.delitem(sys.modules, "outside", raising=False)
    import outside

    yield outside
    del sys.modules["outside"]


def test_model_trains_with_plugin_operations_and_views(plugin, tmp_path):
    ops = ["top_left", "add_constant(7)", "flip_lr", "darker"]
    changes = {"train.epochs": 1, "optimizer.warmup": "0 epochs", "data.batch_size": 8, "data.image_size": 8}
    run = cr.fit("resnet8_digits", data=DATA, workdir=tmp_path, progress=False, **changes, **{"augment.ops": ops})
    assert run.recipe.augment.ops == tuple(ops)
    plain, turned = run.predict(IMAGES[:3, ::-1]), run.predict(IMAGES[:3], tta="upside_down")
    for one, other in zip(plain, turned, strict=True):
        assert one.name == other.name
        np.testing.assert_allclose(one.probability, other.probability, rtol=1e-5)


def test_plot_batch_has_a_row_for_a_plugin_operation(plugin):
    figure = analysis.plot_batch(
        "resnet8_digits", data=DATA, images=2, per_op=True, **{"augment.ops": ["add_constant(7)"], "data.batch_size": 8}
    )
    stored, changed = np.split(np.asarray([axes.images[0].get_array() for axes in figure.axes]), 2)
    np.testing.assert_allclose(changed, stored + 7 / 255, atol=1e-6)


def test_plugin_operations_are_in_the_table_and_in_suggestions(plugin):
    page = runpy.run_path(str(ROOT / "docs" / "augmentation_table.py"))["page"]()
    assert "| `add_constant(amount=1, probability=1.0)` | Add `amount` to every value, with this probability. |" in page
    assert "| `top_left(size=None)` | While decoding: crop the upper left quarter. |" in page
    assert "| `darker(alpha=1.0)` | Mixing: minimum of two images, with half of each label. |" in page
    assert "| `upside_down` | The image, flipped vertically. |" in page
    with pytest.raises(UnknownNameError, match="did you mean add_constant"):
        parse_list(["add_constnt"])
    with pytest.raises(RecipeError, match="'add_constant\\(amount=0.5\\)': add_constant's amount is 0.5"):
        parse_list(["add_constant(amount=0.5)"])


@pytest.mark.parametrize("name", ["flip_lr", "add_constant", "colour_jitter"])
def test_duplicate_name_raises(plugin, name):
    with pytest.raises(RegistrationError, match=f"augmentation '{name}' is registered twice, for .* and .*Mine"):

        @plugin.operation(name)
        class Mine(plugin.Operation):
            pass


def test_command_line_imports_the_modules_of_cnnrecipes_plugins(tmp_path, monkeypatch):
    (tmp_path / "outside.py").write_text("import sys\n" + OPERATION.replace("import tensorflow as tf", ""))
    code = (
        "from cnnrecipes.cli.app import app; import sys;"
        "app(['show', 'resnet8_digits', 'augment.ops=[\"add_constant(3)\"]'], standalone_mode=False);"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    monkeypatch.setenv("CNNRECIPES_PLUGINS", "outside")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "add_constant(3)" in done.stdout


def test_example_of_the_page_runs(plugin):
    page = (ROOT / "docs" / "augmentation.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    exec(code, {"__name__": "my_ops"})
    images = tf.constant(np.arange(6, dtype=np.uint8).reshape(2, 1, 1, 3))
    (op,) = parse_list(["channel_swap(0.3)"])
    changed = op.apply(images, tf.constant([[0.2], [0.4]]), None)
    np.testing.assert_array_equal(changed, [[[[2, 1, 0]]], [[[3, 4, 5]]]])


def test_british_spelling_of_color_jitter_is_accepted():
    assert parse_list(["colour_jitter(0.1)"]) == parse_list(["color_jitter(0.1)"])
    assert "colour_jitter" not in list(OPERATIONS)
