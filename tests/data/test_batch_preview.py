"""Channel statistics for pictures of a batch: the fill color of augmentation is that of the training."""

from __future__ import annotations

import numpy as np
import pytest

from cnnrecipes.data.batch_preview import mean_color
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.recipe import catalog
from cnnrecipes.report.facts import facts_of


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(0)
    return random.integers(0, 100, (60, 8, 8, 3), dtype=np.uint8), np.arange(60) % 2


@pytest.mark.parametrize("standardize", ["train", "imagenet", "image", "none"])
def test_mean_color_is_the_fill_color_of_the_training(arrays, standardize):
    recipe = catalog.load("resnet8_digits").change(**{"data.standardize": standardize, "data.validation": 0.2})
    with InputPipeline.open(recipe, arrays) as pipeline:
        found = mean_color(pipeline.source, recipe)
        np.testing.assert_allclose(found.mean, pipeline.statistics.mean, rtol=1e-6)


def test_report_has_the_statistics_that_the_training_used(digits_run):
    with InputPipeline.open(digits_run.recipe, None) as pipeline:
        assert facts_of(digits_run).statistics == pipeline.statistics
