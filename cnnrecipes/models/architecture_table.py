"""All architectures as a table: size, image size, strides, preprocessing, published accuracy, pretrained weights."""

from __future__ import annotations

import pandas as pd

from cnnrecipes.models.architecture_sizes import SIZES
from cnnrecipes.models.registry import ARCHITECTURES


def model_table() -> pd.DataFrame:
    """Return one row for each registered architecture, those of this package first. No model is built.

    Returns:
        columns: model, parameters (trainable, with the head for its published classes) and multiply_adds (for one
        image; of convolutions and dense layers), both missing for architectures of plugins; image_size (published,
        "HxWxC"), strides of the stages' outputs; preprocessing (the contract of `models.pretrained.preprocessing`),
        top1 (published ImageNet accuracy in percent) and alphas (width multipliers), missing for architectures of this
        package; imagenet_weights: True if they can be downloaded; source.
    """
    rows = []
    for name, row in ARCHITECTURES.items():
        size, application = SIZES.get(name), row.application
        rows.append(
            {
                "model": name,
                "parameters": size and size.parameters,
                "multiply_adds": size and size.multiply_adds,
                "image_size": "x".join(map(str, row.setting.input_shape)),
                "strides": ", ".join(map(str, size.strides)) if size else "",
                "preprocessing": application.preprocessing if application else None,
                "top1": application.top1 if application else None,
                "alphas": ", ".join(f"{alpha:g}" for alpha in application.alphas) if application else "",
                "imagenet_weights": application is not None,
                "source": row.source,
            }
        )
    return pd.DataFrame(rows).astype({"parameters": "Int64", "multiply_adds": "Int64", "top1": "Float64"})
