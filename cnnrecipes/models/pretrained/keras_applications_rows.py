"""Rows of `keras.applications` in the model registry: one line a backbone.

Top-1 accuracy and number of parameters, with Keras' own head, are those of keras.io/api/applications (2026), of
MobileNetV3 those of keras/src/applications/mobilenet_v3.py. The stem and each stage end at the last layer of their
stride, as in the papers: stages have the strides 4, 8, 16 and 32 (VGG: 2 to 32). Nothing but this layer's output is
used by later stages, so that a model can be cut there; only NASNet's cells use the outputs of two cells before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from cnnrecipes.models.architecture import IMAGENET, Architecture, Published, Setting
from cnnrecipes.models.pretrained.application import Application
from cnnrecipes.models.registry import register

KERAS = "keras.io/api/applications, with its own head"

VGG = "Simonyan & Zisserman 2014 (arXiv:1409.1556)"
RESNET = "He et al. 2015 (arXiv:1512.03385)"
RESNET_V2 = "He et al. 2016 (arXiv:1603.05027)"
DENSENET = "Huang et al. 2016 (arXiv:1608.06993)"
MOBILENET = "Howard et al. 2017 (arXiv:1704.04861)"
MOBILENET_V2 = "Sandler et al. 2018 (arXiv:1801.04381)"
MOBILENET_V3 = "Howard et al. 2019 (arXiv:1905.02244)"
EFFICIENTNET = "Tan & Le 2019 (arXiv:1905.11946)"
EFFICIENTNET_V2 = "Tan & Le 2021 (arXiv:2104.00298)"
INCEPTION_V3 = "Szegedy et al. 2015 (arXiv:1512.00567)"
INCEPTION_RESNET = "Szegedy et al. 2016 (arXiv:1602.07261)"
XCEPTION = "Chollet 2016 (arXiv:1610.02357)"
NASNET = "Zoph et al. 2017 (arXiv:1707.07012)"
CONVNEXT = "Liu et al. 2022 (arXiv:2201.03545)"

VGG_ENDS = ("input_layer1", *(f"block{i}_pool" for i in range(1, 5)))
MOBILENET_ENDS = ("conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu")
MOBILENET_V2_ENDS = ("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add")
SMALL_V3_ENDS = ("activation1", "expanded_conv_project_bn", "expanded_conv_2_add", "expanded_conv_7_add")
LARGE_V3_ENDS = ("expanded_conv_add", "expanded_conv_2_add", "expanded_conv_5_add", "expanded_conv_11_add")
INCEPTION_ENDS = ("activation3", "activation5", "mixed2", "mixed7")
INCEPTION_RESNET_ENDS = ("activation3", "activation5", "block35_10_ac", "block17_20_ac")
XCEPTION_ENDS = ("block1_conv2_act", "add1", "add2", "add11")
NASNET_MOBILE_ENDS = ("stem_bn1", "reduction_concat_stem_1", "normal_concat_3", "normal_concat_8")
NASNET_LARGE_ENDS = ("stem_bn1", "reduction_concat_stem_1", "normal_concat_5", "normal_concat_12")
# Repeats of the blocks 1 to 6 or 7.
EFFICIENTNET_REPEATS = (1, 2, 2, 3, 3, 4, 1)
V2_B_REPEATS = (1, 2, 2, 3, 5, 8)


def resnet_ends(*depths: int) -> tuple[str, ...]:
    """Return `Application.ends` of ResNet v1; `depths` are the numbers of blocks of all stages but the last."""
    return ("pool1_pool", *(f"conv{stage}_block{depth}_out" for stage, depth in enumerate(depths, 2)))


def resnet_v2_ends(*depths: int) -> tuple[str, ...]:
    """Return `Application.ends` of Keras' ResNet v2, where the last block has the stride: it begins the next stage."""
    return resnet_ends(*(depth - 1 for depth in depths))


def densenet_ends(*depths: int) -> tuple[str, ...]:
    """Return `Application.ends` of DenseNet; `depths` are the layers of the dense blocks of all stages but the last.

    A stage ends with its dense block; the transition belongs to the next stage.
    """
    return ("pool1", *(f"conv{stage}_block{depth}_concat" for stage, depth in enumerate(depths, 2)))


def efficientnet_ends(repeats: Sequence[int], depth: float = 1.0, first: str = "project_bn") -> tuple[str, ...]:
    """Return `Application.ends` of an EfficientNet: blocks 1, 2, 3, 5. A block without repetition has no sum at its end."""
    counts = [math.ceil(depth * count) for count in repeats]
    letters = {block: "abcdefghijklmnopqrstuvwxyz"[counts[block - 1] - 1] for block in (1, 2, 3, 5)}
    return tuple(f"block{block}{letter}_{first if letter == 'a' else 'add'}" for block, letter in letters.items())


def convnext_ends(variant: str, *depths: int) -> tuple[str, ...]:
    """Return `Application.ends` of ConvNeXt; `depths` are the numbers of blocks of all stages but the last.

    Each block ends in a sum.
    """
    return (f"convnext_{variant}_stem", *(f"add{count}" for count in itertools.accumulate(depths)))


def row(source: str, constructor: str, contract: str, ends: Sequence[str], **more: Any) -> Architecture:
    """Return the row of a backbone.

    Args:
        contract: key of `preprocessing.CONTRACTS`.
        ends: see `Application`.
        more: `size`, the side of the images that it was trained with (default: 224); `parameters` with Keras' own
            head; the others are attributes of `Application`.
    """
    size, parameters = more.pop("size", 224), more.pop("parameters")
    return Architecture(
        application=Application(constructor=constructor, preprocessing=contract, ends=tuple(ends), **more),
        options={"alpha": 1.0} if more.get("alphas") else {},
        source=source,
        setting=Setting((size, size, 3), IMAGENET.classes),
        published=(Published(parameters, KERAS),),
    )


def efficientnet(number: int, depth: float, size: int, **more: Any) -> Architecture:
    """Return the row of EfficientNet-B<number>, whose own preprocessing layers are left out: see `preprocessing`."""
    ends = efficientnet_ends(EFFICIENTNET_REPEATS, depth)
    more["left_out"] = ("rescaling1", "normalization1")
    return row(EFFICIENTNET, f"EfficientNetB{number}", "torch", ends, size=size, **more)


def efficientnet_v2(
    variant: str, contract: str, repeats: Sequence[int], depth: float, size: int, **more: Any
) -> Architecture:
    """Return the row of EfficientNetV2-<variant>; `repeats` of its blocks are multiplied by `depth`."""
    ends = efficientnet_ends(repeats, depth, first="project_activation")
    return row(EFFICIENTNET_V2, f"EfficientNetV2{variant}", contract, ends, size=size, **more)


# fmt: off
ROWS = {
    "keras_vgg16": row(VGG, "VGG16", "caffe", VGG_ENDS, top1=71.3, parameters="138.4"),
    "keras_vgg19": row(VGG, "VGG19", "caffe", VGG_ENDS, top1=71.3, parameters="143.7"),
    "keras_resnet50": row(RESNET, "ResNet50", "caffe", resnet_ends(3, 4, 6), top1=74.9, parameters="25.6"),
    "keras_resnet101": row(RESNET, "ResNet101", "caffe", resnet_ends(3, 4, 23), top1=76.4, parameters="44.7"),
    "keras_resnet152": row(RESNET, "ResNet152", "caffe", resnet_ends(3, 8, 36), top1=76.6, parameters="60.4"),
    "resnet50_v2": row(RESNET_V2, "ResNet50V2", "tf", resnet_v2_ends(3, 4, 6), top1=76.0, parameters="25.6"),
    "resnet101_v2": row(RESNET_V2, "ResNet101V2", "tf", resnet_v2_ends(3, 4, 23), top1=77.2, parameters="44.7"),
    "resnet152_v2": row(RESNET_V2, "ResNet152V2", "tf", resnet_v2_ends(3, 8, 36), top1=78.0, parameters="60.4"),
    "densenet121": row(DENSENET, "DenseNet121", "torch", densenet_ends(6, 12, 24), top1=75.0, parameters="8.1"),
    "densenet169": row(DENSENET, "DenseNet169", "torch", densenet_ends(6, 12, 32), top1=76.2, parameters="14.3"),
    "densenet201": row(DENSENET, "DenseNet201", "torch", densenet_ends(6, 12, 48), top1=77.3, parameters="20.2"),
    "mobilenet": row(MOBILENET, "MobileNet", "tf", MOBILENET_ENDS, top1=70.4, parameters="4.3", alphas=(0.25, 0.5, 0.75, 1.0)),
    "mobilenet_v2": row(MOBILENET_V2, "MobileNetV2", "tf", MOBILENET_V2_ENDS, top1=71.3, parameters="3.5", alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4)),
    "mobilenet_v3_small": row(MOBILENET_V3, "MobileNetV3Small", "inside", SMALL_V3_ENDS, top1=68.1, parameters="2.6", alphas=(0.75, 1.0)),
    "mobilenet_v3_large": row(MOBILENET_V3, "MobileNetV3Large", "inside", LARGE_V3_ENDS, top1=75.6, parameters="5.5", alphas=(0.75, 1.0)),
    "efficientnet_b0": efficientnet(0, 1.0, 224, top1=77.1, parameters="5.3"),
    "efficientnet_b1": efficientnet(1, 1.1, 240, top1=79.1, parameters="7.9"),
    "efficientnet_b2": efficientnet(2, 1.2, 260, top1=80.1, parameters="9.2"),
    "efficientnet_b3": efficientnet(3, 1.4, 300, top1=81.6, parameters="12.3"),
    "efficientnet_b4": efficientnet(4, 1.8, 380, top1=82.9, parameters="19.5"),
    "efficientnet_b5": efficientnet(5, 2.2, 456, top1=83.6, parameters="30.6"),
    "efficientnet_b6": efficientnet(6, 2.6, 528, top1=84.0, parameters="43.3"),
    "efficientnet_b7": efficientnet(7, 3.1, 600, top1=84.3, parameters="66.7"),
    "efficientnet_v2_b0": efficientnet_v2("B0", "inside_rgb", V2_B_REPEATS, 1.0, 224, top1=78.7, parameters="7.2"),
    "efficientnet_v2_b1": efficientnet_v2("B1", "inside_rgb", V2_B_REPEATS, 1.1, 240, top1=79.8, parameters="8.2"),
    "efficientnet_v2_b2": efficientnet_v2("B2", "inside_rgb", V2_B_REPEATS, 1.2, 260, top1=80.5, parameters="10.2"),
    "efficientnet_v2_b3": efficientnet_v2("B3", "inside_rgb", V2_B_REPEATS, 1.4, 300, top1=82.0, parameters="14.5"),
    "efficientnet_v2_s": efficientnet_v2("S", "inside", (2, 4, 4, 6, 9), 1.0, 384, top1=83.9, parameters="21.6"),
    "efficientnet_v2_m": efficientnet_v2("M", "inside", (3, 5, 5, 7, 14), 1.0, 480, top1=85.3, parameters="54.4"),
    "efficientnet_v2_l": efficientnet_v2("L", "inside", (4, 7, 7, 10, 19), 1.0, 480, top1=85.7, parameters="119.0"),
    "inception_v3": row(INCEPTION_V3, "InceptionV3", "tf", INCEPTION_ENDS, size=299, least=75, top1=77.9, parameters="23.9"),
    "inception_resnet_v2": row(INCEPTION_RESNET, "InceptionResNetV2", "tf", INCEPTION_RESNET_ENDS, size=299, least=75, top1=80.3, parameters="55.9"),
    "xception": row(XCEPTION, "Xception", "tf", XCEPTION_ENDS, size=299, least=71, top1=79.0, parameters="22.9"),
    "nasnet_mobile": row(NASNET, "NASNetMobile", "tf", NASNET_MOBILE_ENDS, top1=74.4, parameters="5.3", one_tensor=False),
    "nasnet_large": row(NASNET, "NASNetLarge", "tf", NASNET_LARGE_ENDS, size=331, top1=82.5, parameters="88.9", one_tensor=False),
    "convnext_tiny": row(CONVNEXT, "ConvNeXtTiny", "inside_rgb", convnext_ends("tiny", 3, 3, 9), top1=81.3, parameters="28.6"),
    "convnext_small": row(CONVNEXT, "ConvNeXtSmall", "inside_rgb", convnext_ends("small", 3, 3, 27), top1=82.3, parameters="50.2"),
    "convnext_base": row(CONVNEXT, "ConvNeXtBase", "inside_rgb", convnext_ends("base", 3, 3, 27), top1=85.3, parameters="88.5"),
    "convnext_large": row(CONVNEXT, "ConvNeXtLarge", "inside_rgb", convnext_ends("large", 3, 3, 27), top1=86.3, parameters="197.7"),
    "convnext_xlarge": row(CONVNEXT, "ConvNeXtXLarge", "inside_rgb", convnext_ends("xlarge", 3, 3, 27), top1=86.7, parameters="350.1"),
}
# fmt: on


def load() -> None:
    """Register the backbones of `ROWS` as architectures."""
    for name, one in ROWS.items():
        register(name, one)
