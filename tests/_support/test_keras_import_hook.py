"""Saved models load after `import cnnrecipes`, regardless of the order of importing Keras and cnnrecipes."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np

import cnnrecipes as cr

PROGRAM = """
import cnnrecipes, sys
assert 'keras' not in sys.modules
import keras
assert keras.__spec__.name == 'keras'
assert not [f for f in sys.meta_path if type(f).__module__.startswith('cnnrecipes')]
import numpy as np
np.save('y.npy', keras.saving.load_model('m.keras')(np.ones((1, 8, 8, 3))))
"""


def test_saved_model_loads_where_cnnrecipes_was_imported_before_keras(tmp_path):
    """The hook of cnnrecipes is removed after Keras is imported. The other order: test_fused_kernel_batch_norm.py."""
    model = cr.build("fast_cnn", input_shape=(8, 8, 3), classes=2, norm="group", pool="blur", widths=(16, 16, 16))
    model.save(tmp_path / "m.keras")
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(np.ones((1, 8, 8, 3))), rtol=1e-5, atol=1e-6)


def test_layers_are_registered_in_this_process():
    assert keras.saving.get_registered_object("cnnrecipes>BlurPool") is not None
