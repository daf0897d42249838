"""Saved models load after `import cnnrecipes`, regardless of the order of importing Keras and cnnrecipes."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest

import cnnrecipes as cr

HOOK_IS_REMOVED = """
import cnnrecipes, sys
assert 'keras' not in sys.modules
import keras
assert keras.__spec__.name == 'keras'
assert not [f for f in sys.meta_path if type(f).__module__.startswith('cnnrecipes')]
"""
LOAD = "import numpy as np; y = keras.saving.load_model('m.keras')(np.ones((1, 8, 8, 3))); np.save('y.npy', y)"


@pytest.mark.parametrize("imports", [HOOK_IS_REMOVED, "import keras, cnnrecipes\n"], ids=["cnnrecipes", "keras"])
def test_saved_model_loads_after_importing_cnnrecipes(tmp_path, imports):
    """Whichever is imported first; the hook of cnnrecipes is removed after Keras is imported."""
    model = cr.build("fast_cnn", input_shape=(8, 8, 3), classes=2, norm="group", pool="blur", widths=(16, 16, 16))
    model.save(tmp_path / "m.keras")
    subprocess.run([sys.executable, "-c", imports + LOAD], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(np.ones((1, 8, 8, 3))), rtol=1e-5, atol=1e-6)


def test_layers_are_registered_in_this_process():
    assert keras.saving.get_registered_object("cnnrecipes>BlurPool") is not None
