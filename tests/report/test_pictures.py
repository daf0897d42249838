"""Pictures of a report."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from cnnrecipes.data.unreadable_files import open_readable
from cnnrecipes.recipe.schema import Data
from cnnrecipes.report.pictures import Pictures, network_input


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_small_pictures_are_exact():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    assert np.array_equal(decoded(Pictures().uri(image)), image.repeat(3, -1))


def test_large_pictures_are_small_jpegs():
    image = np.random.default_rng(0).integers(0, 255, (500, 300, 3))
    uri = Pictures().uri(image.astype(float))
    assert uri.startswith("data:image/jpeg")
    assert decoded(uri).shape[:2] == (224, 134)


def test_pictures_end_with_the_budget():
    image = np.random.default_rng(0).integers(0, 255, (100, 100, 3))
    pictures = Pictures(budget=20_000)
    found = [pictures.uri(image) for _ in range(20)]
    assert found[0]
    assert found[-1] == ""
    assert pictures.refused == sum(not one for one in found)
    assert sum(map(len, found)) <= 20_000


def test_network_input_is_the_center_crop_of_a_file(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(5):
            pixels = np.full((20, 40, 3), 10 * number + (name == "bee"), np.uint8)
            pixels[:, 10:30] = 200
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    spec = Data(name="photos", image_size=(20, 20), channels=3)
    source, _ = open_readable(str(tmp_path), spec)
    with source:
        position = int(source.split("validation").positions[0])
        assert (network_input(source, "validation", position, spec) == 200).all()
        missing = source.split("validation").files()[0]
        (tmp_path / missing).unlink()
        with pytest.raises(OSError, match="No such file"):
            network_input(source, "validation", position, spec)
