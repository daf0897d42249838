"""Write docs/architectures.md from the architectures: run `python docs/architectures_table.py` after changing one."""

from __future__ import annotations

from pathlib import Path

import keras

import cnnrecipes as cr
from cnnrecipes.analysis import cost, receptive_field
from cnnrecipes.models import ARCHITECTURES

HEAD = """# Architectures

`cr.build(name, input_shape=..., classes=...)` builds one; `cnnrecipes inspect NAME` draws it. This page is written by
`make architectures-table`, which builds each at the size that it was published with. "Sees" is the receptive field, in
pixels, of the last feature map. Multiply-adds are those of convolutions and dense layers, for one image.

| name | images | classes | parameters | published, millions | multiply-adds | sees | source |
|---|---|---|---|---|---|---|---|
"""

TAIL = """
Published counts: torchvision's table of models (AlexNet, VGG, ResNet-18 to 152, ResNeXt-50), table 6 of He et al. 2015
(CIFAR ResNets; plain nets have as many, shortcuts of option A having none), Zagoruyko & Komodakis 2016, table 4 (wide
ResNets), timm's table of results (`resnetv2_50`, `resnet50d`), and for `fast_cnn` the count of David Page's code, which
has no bias in the last layer, 10 fewer. `resnet8` and `resnet14` are the same family, made small for tests and lessons.

## Options

What every architecture takes: `norm` (batch, layer, instance, group, channel, none), `norm_groups`, `activation` (relu,
leaky_relu, elu, celu, gelu, silu, mish, sigmoid, tanh), `init` (he_normal, he_uniform, glorot_normal, glorot_uniform,
lecun_normal, lecun_uniform, each with a factor as `he_normal(0.5)`, and `fixed(0.01)`), `head` (average, max, classic),
`dropout`. `norm`, `activation`, `init` and `pool` can be factories of your own.

A residual block with norms starts as its shortcut: its last gamma is 0 (`zero_init_residual`). Where shortcut A pads
new channels with zeros it is 1, also with `zero_init_residual = true`, because a channel of zeros in front of a ReLU
gets no gradient and would never learn. With `norm = "none"` the branches end in learnable factors instead, one a
channel, 0 or 1 at first by the same rule (`branch_scale = "skipinit"`, after De & Smith 2020, who have one a branch);
no weight decay applies to them. `branch_scale = "none"` leaves them out. Nets without shortcuts, and `fast_cnn`, have
none. They do not help `variant = "v2"` with `shortcut = "C"`, whose projections alone double the variance each block.

| option | values | has it |
|---|---|---|
"""

# (name, options) -> as published
ROWS = {
    ("alexnet", ()): "61.1",
    **{
        (f"vgg{n}", (("norm", "none"),)): m for n, m in ((11, "132.86"), (13, "133.05"), (16, "138.36"), (19, "143.67"))
    },
    **{(f"vgg{n}", ()): m for n, m in ((11, "132.87"), (13, "133.05"), (16, "138.37"), (19, "143.68"))},
    **{(f"plain{n}", ()): None for n in (18, 34)},
    **{(f"plain{n}", ()): m for n, m in ((20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7"))},
    **{(f"resnet{n}", ()): None for n in (8, 14)},
    **{(f"resnet{n}", ()): m for n, m in ((20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7"))},
    **{(f"resnet{n}", ()): m for n, m in ((18, "11.69"), (34, "21.80"), (50, "25.56"), (101, "44.55"), (152, "60.19"))},
    ("resnet50", (("variant", "v2"),)): "25.55",
    ("resnet50", (("variant", "d"),)): "25.58",
    ("resnext50", ()): "25.03",
    ("wrn16_4", ()): "2.7",
    ("wrn28_10", ()): "36.5",
    ("fast_cnn", ()): "6.57",
}

OPTIONS = {
    "variant": "v1, v1.5, v2, d",
    "shortcut": "A, B, C, none",
    "stem": "cifar, imagenet",
    "zero_init_residual": "true, false",
    "branch_scale": "skipinit, none",
    "block_dropout": "0 to 1",
    "stochastic_depth": "0 to 1",
    "squeeze_excite": "a reduction, as 16",
    "spatial_dropout": "0 to 1",
    "pool": "max, average, blur",
    "depths": "blocks, or convolutions, of each stage",
    "widths": "channels of each stage",
}


def page() -> str:
    """The whole page."""
    rows = [row(name, dict(options), published) for (name, options), published in ROWS.items()]
    return HEAD + "".join(rows) + TAIL + "".join(map(option, OPTIONS.items()))


def row(name: str, options: dict[str, str], published: str | None) -> str:
    """One architecture, built at the size that it was published with."""
    architecture = ARCHITECTURES[name]
    shape, classes = architecture.setting
    # Zeros are drawn faster than hundreds of millions of random numbers.
    model = cr.build(name, input_shape=shape, classes=classes, init=keras.initializers.Zeros, **options)
    totals = cost(model).attrs
    fields = receptive_field(model)
    maps = fields[fields.output_shape.map(len) == 4]
    cells = (
        " ".join([f"`{name}`", *(f'`{key}="{value}"`' for key, value in options.items())]),
        "x".join(map(str, shape)),
        str(classes),
        f"{totals['parameters']:,}",
        published or "",
        f"{totals['multiply_adds'] / 1e6:,.0f} M",
        "x".join(map(str, maps["size"].iloc[-1])),
        architecture.source,
    )
    return f"| {' | '.join(cells)} |\n"


def option(item: tuple[str, str]) -> str:
    """One option, its values, and the families that have it."""
    name, values = item
    having = [key for key, architecture in ARCHITECTURES.items() if name in architecture.own]
    families = dict.fromkeys(key.rstrip("0123456789_") for key in having)
    return f"| `{name}` | {values} | {', '.join(families)} |\n"


if __name__ == "__main__":
    Path(__file__).with_name("architectures.md").write_text(page(), encoding="utf-8")
