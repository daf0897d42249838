"""Write models/architecture_sizes.py: `make architecture-sizes` after adding an architecture; NAME... for some only."""

from __future__ import annotations

import gc
import math
import sys
import warnings
from pathlib import Path

import keras

import cnnrecipes as cr
from cnnrecipes.analysis import cost
from cnnrecipes.models import ARCHITECTURES, Backbone
from cnnrecipes.models.architecture_sizes import SIZES, Size
from cnnrecipes.recipe import schema

FILE = Path(cr.__file__).parent / "models" / "architecture_sizes.py"
HEADER = FILE.read_text(encoding="utf-8").partition("SIZES")[0]


def size(name: str) -> Size:
    """Return the size of an architecture at its published setting."""
    row = ARCHITECTURES[name]
    shape, classes = row.setting
    model = cr.build(name, input_shape=shape, classes=classes, **({} if row.application else {"init": "fixed(0.01)"}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        totals = cost(model).attrs
    backbone = Backbone.of(model)
    kept = backbone.model
    if row.application:
        kept = row.application.stock(row.complete(schema.Model(name=name)), shape)
    return Size(
        totals["parameters"],
        totals["multiply_adds"],
        tuple(stage.stride for stage in backbone.stages),
        backbone.stages[-1].channels,
        sum(math.prod(weight.shape) for weight in kept.weights),
    )


def text(sizes: dict[str, Size]) -> str:
    """Return the text of models/architecture_sizes.py."""
    lines = [
        f'    "{name}": Size({", ".join(map(_number, sizes[name]))}),\n' for name in ARCHITECTURES if name in sizes
    ]
    return f"{HEADER}SIZES: dict[str, Size] = {{\n{''.join(lines)}}}\n"


def _number(value) -> str:
    return f"{value:_}" if isinstance(value, int) else str(value)


def main(names: list[str]) -> None:
    found = dict(SIZES)
    for name in names or ARCHITECTURES:
        found[name] = size(name)
        print(name, found[name], flush=True)
        FILE.write_text(text(found), encoding="utf-8")
        keras.backend.clear_session()
        gc.collect()


if __name__ == "__main__":
    main(sys.argv[1:])
