"""Write docs/architectures.md from the architectures: run `python docs/architectures_table.py` after changing one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

import cnnrecipes as cr
from cnnrecipes.analysis import cost, receptive_field
from cnnrecipes.layers.activation import NAMES as ACTIVATIONS
from cnnrecipes.layers.norm import KINDS as NORMS
from cnnrecipes.models import ARCHITECTURES, HEADS, Published, stages

HEADER = """# Architectures

`cr.build(name, input_shape=..., classes=...)` builds one; `cnnrecipes inspect NAME` draws it. This page is written by
`make architectures-table`, which builds each at its published image size and number of classes. "Published" is the
published number of parameters in millions and where it stands. "Receptive field" is that of the last feature map, in
pixels. Multiply-adds are those of convolutions and dense layers, for one image.

| name | images | classes | parameters | published | multiply-adds | strides | receptive field | source |
|---|---|---|---|---|---|---|---|---|
"""

REMARKS = """
Plain CIFAR nets have as many parameters as the ResNets, because shortcuts of option A have none. The last layer of
`fast_cnn` has a bias, that of David Page's code has none: 10 parameters more. `resnet8` and `resnet14` are not in the
paper: the same family, made small for tests and lessons.

## Backbone and head

A model is a backbone, images to feature maps in stages, and a head, feature maps to logits. `cr.models.backbone` builds
an architecture without its head; `cr.models.Backbone.of(model)` finds the backbone of a built or loaded model, and
`cr.models.stages(model)` its stages.

```python
import keras

import cnnrecipes as cr

backbone = cr.models.backbone("resnet18", input_shape=(96, 64, 3))
print([(stage.name, stage.stride, stage.channels) for stage in backbone.stages])
pyramid = keras.Model(backbone.model.input, [stage.output for stage in backbone.stages])  # all stages together

model = cr.build("resnet8", input_shape=(16, 16, 3), classes=3)
for stage in cr.models.stages(model)[:-1]:  # train the last stage and the head; the stem: Backbone.of(model).stem
    for layer in stage.layers:
        layer.trainable = False
```

## An architecture of your own

One file registers an architecture, and a recipe uses it by its name in the same process. Names of layers begin with
the name of their stage. `options` are keys of a recipe's `model` table with the architecture's own defaults.

```python
from cnnrecipes import layers
from cnnrecipes.models import CIFAR, Architecture, register


def all_convolutional(x, spec, factories):
    for s, (depth, width) in enumerate(zip(spec.depths, spec.widths), start=1):
        for i in range(1, depth + 1):
            stride = 2 if i == depth else 1
            x = layers.conv_norm_act(x, width, stride=stride, factories=factories, name=f"stage{s}_{i}")
    return x


register(
    "all_cnn",
    Architecture(
        features=all_convolutional,
        options={"depths": (3, 3), "widths": (96, 192)},
        source="Springenberg et al. 2014, table 1",
        setting=CIFAR,
    ),
)
model = cr.build("all_cnn", input_shape=(32, 32, 3), classes=10)
```

A residual block is `layers.residual_block(x, layers.Branch(convs), factories=..., shortcut=..., name=...)`, in which
`convs` is any list of `layers.Conv(width, kernel, stride, groups)`. A head is registered by
`cr.models.register_head(name, head)`, or given to `cr.build` as `head=`.
"""

OPTIONS = """
## Options

Options of every architecture: `norm` ({norms}), `norm_groups`, `activation` ({activations}), `init` (he_normal,
he_uniform, glorot_normal, glorot_uniform, lecun_normal, lecun_uniform, each with a factor, for example
`he_normal(0.5)`, and `fixed(0.01)`), `head` ({heads}), `dropout`. To `cr.build`, `norm`, `activation`, `init`, `pool`
and `head` can also be given as functions.

A residual block with norms starts as its shortcut: its last gamma is 0 (`zero_init_residual`). Where shortcut A pads
new channels with zeros it is 1, also with `zero_init_residual = true`, because a channel of zeros in front of a ReLU
gets no gradient and would never learn. With `norm = "none"` the branches end in learnable factors instead, one per
channel, 0 or 1 at first by the same rule (`branch_scale = "skipinit"`, after De & Smith 2020, who have one per branch);
no weight decay applies to them. `branch_scale = "none"` leaves them out. Nets without shortcuts, and `fast_cnn`, have
none. They do not help `variant = "v2"` with `shortcut = "C"`, whose projections alone double the variance each block.

| option | values | architectures |
|---|---|---|
"""

VALUES = {
    "variant": "v1, v1.5, v2, d",
    "shortcut": "A, B, C, none",
    "stem": "cifar, imagenet",
    "zero_init_residual": "true, false",
    "branch_scale": "skipinit, none",
    "block_dropout": "0 to 1",
    "stochastic_depth": "0 to 1",
    "squeeze_excite": "a reduction, for example 16",
    "spatial_dropout": "0 to 1",
    "pool": "max, average, blur",
    "depths": "blocks, or convolutions, of each stage",
    "widths": "channels of each stage",
}


def page() -> str:
    """Return the whole page."""
    rows = [row(name, published) for name in ARCHITECTURES for published in counts(name)]
    options = OPTIONS.format(norms=", ".join(NORMS), activations=", ".join(ACTIVATIONS), heads=", ".join(HEADS))
    return HEADER + "".join(rows) + REMARKS + options + "".join(map(option, VALUES))


def counts(name: str) -> list[Published | None]:
    """Return an architecture's published counts, preceded by None if none is that of its default options."""
    published = ARCHITECTURES[name].published
    return [*published] if any(not count.options for count in published) else [None, *published]


def row(name: str, published: Published | None) -> str:
    """Return the line of one architecture with the options of a published count, built at its published setting."""
    architecture = ARCHITECTURES[name]
    shape, classes = architecture.setting
    options = published.options if published else {}
    # Zeros are drawn faster than hundreds of millions of random numbers.
    model = cr.build(name, input_shape=shape, classes=classes, init=keras.initializers.Zeros, **options)
    totals = cost(model).attrs
    fields = receptive_field(model)
    maps = fields[fields.output_shape.map(len) == 4]
    cells = (
        _call(name, options),
        "x".join(map(str, shape)),
        str(classes),
        f"{totals['parameters']:,}",
        f"{published.millions}, {published.source}" if published else "",
        f"{totals['multiply_adds'] / 1e6:,.0f} M",
        ", ".join(str(stage.stride) for stage in stages(model)),
        "x".join(map(str, maps["size"].iloc[-1])),
        architecture.source,
    )
    return f"| {' | '.join(cells)} |\n"


def option(name: str) -> str:
    """Return the line of one option: its values, and the architectures that have it, without their sizes."""
    having = [key for key, architecture in ARCHITECTURES.items() if name in architecture.options]
    families = dict.fromkeys(key.rstrip("0123456789_") for key in having)
    return f"| `{name}` | {VALUES[name]} | {', '.join(families)} |\n"


def _call(name: str, options: Mapping[str, Any]) -> str:
    return " ".join([f"`{name}`", *(f'`{key}="{value}"`' for key, value in options.items())])


if __name__ == "__main__":
    Path(__file__).with_name("architectures.md").write_text(page(), encoding="utf-8")
