"""Outlines: the blocks of the papers, found in our models, in keras.applications and in custom branches."""

from __future__ import annotations

import keras
import pytest

import cnnrecipes as cr
from cnnrecipes.analysis.block_detection import Block, outline
from cnnrecipes.models.cost import cost

L = keras.layers


def application(name, size=64):
    return getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))


def test_resnet_20_matches_the_paper():
    stages = outline(cr.build("resnet20", input_shape=(32, 32, 3), classes=10, mean=[0.0] * 3, std=[1.0] * 3))
    assert [(stage.name, stage.output) for stage in stages] == [
        ("input", "32x32x3"),
        ("stem", "32x32x16"),
        ("stage1", "32x32x16"),
        ("stage2", "16x16x32"),
        ("stage3", "8x8x64"),
        ("head", "10"),
    ]
    assert stages[0].blocks == (Block(("image",)), Block(("standardize",)))
    assert stages[3].blocks == (
        Block(
            ("3x3 conv 32 /2, norm, relu", "3x3 conv 32, norm", "add, relu"),
            "every 2nd pixel, zeros as new channels",
        ),
        Block(("3x3 conv 32, norm, relu", "3x3 conv 32, norm", "add, relu"), "", 2),
    )


@pytest.mark.parametrize(("depth", "repeats"), [(50, (2, 3, 5, 2)), (152, (2, 7, 35, 2))])
def test_equal_bottlenecks_are_one_repeated_block(depth, repeats):
    stages = outline(cr.build(f"resnet{depth}", input_shape=(64, 64, 3), classes=10))
    found = {stage.name: [block.repeats for block in stage.blocks] for stage in stages if stage.name[:5] == "stage"}
    assert found == {f"stage{i}": [1, n] for i, n in enumerate(repeats, start=1)}


def test_chain_has_no_shortcuts():
    stages = outline(application("VGG19"))
    assert [[block.repeats for block in stage.blocks] for stage in stages[1:6]] == [
        [2, 1],
        [2, 1],
        [4, 1],
        [4, 1],
        [4, 1],
    ]
    assert stages[5].blocks == (Block(("3x3 conv 512, relu",), None, 4), Block(("2x2 max pool",)))
    assert stages[-1].blocks[1] == Block(("dense 4096, relu",), None, 2)


def test_stages_by_size_and_blocks_without_names():
    stages = {stage.name: stage for stage in outline(application("MobileNetV2", 224))}
    assert list(stages) == ["input", "112x112", "56x56", "28x28", "14x14", "7x7", "head"]
    # Sandler et al. 2018, table 2: three blocks of 32 channels; the first is strided and has no shortcut.
    expand_and_project = ("1x1 conv 192, norm, relu6", "3x3 depthwise conv, norm, relu6", "1x1 conv 32, norm", "add")
    assert Block(expand_and_project, "", 2) in stages["28x28"].blocks


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("DenseNet121", Block(("norm, relu", "1x1 conv 128, norm, relu", "3x3 conv 32", "concat"), "", 24)),
        (
            "ResNet50",
            Block(("1x1 conv 64, norm, relu", "3x3 conv 64, norm, relu", "1x1 conv 256, norm", "add, relu"), "", 2),
        ),
        (
            "EfficientNetB0",
            Block(
                (
                    "1x1 conv 1152, norm, silu",
                    "5x5 depthwise conv, norm, silu",
                    "squeeze and excite",
                    "1x1 conv 192, norm, drop path",
                    "add",
                ),
                "",
                3,
            ),
        ),
    ],
)
def test_known_blocks_of_keras_applications_are_found(name, block):
    assert block in [block for stage in outline(application(name)) for block in stage.blocks]


def test_branches_of_an_inception_block_are_listed():
    stages = outline(application("InceptionV3", 128))
    blocks = [block for stage in stages for block in stage.blocks if block.lines[0] == "4 branches:"]
    assert blocks[0].lines[1:] == (
        "- 1x1 conv 64",
        "- 1x1 conv 48 > 5x5 conv 64",
        "- 1x1 conv 64 > 3x3 conv 96 > 3x3 conv 96",
        "- 3x3 average pool /1 > 1x1 conv 32",
        "concat",
    )
    assert blocks[-1].lines[2] == "- 1x1 conv 384 > 2 branches: 1x3 conv 384 | 3x1 conv 384 > concat"


def test_branches_with_shared_layers_form_one_cell():
    images = keras.Input((8, 8, 1))
    a = L.Conv2D(1, 1)(images)
    b = L.Conv2D(1, 1)(a)
    c = L.Add()([a, b])
    model = keras.Model(images, L.Concatenate()([c, b, images]))
    (block,) = [block for stage in outline(model) for block in stage.blocks if block.lines != ("image",)]
    assert block.lines == ("cell of 3 layers", "3 branches, concat")


@pytest.mark.parametrize(
    "make",
    [
        lambda: cr.build("resnet18", input_shape=(64, 64, 3), classes=10),
        lambda: application("NASNetMobile"),
        lambda: keras.Sequential([keras.Input((64, 64, 3)), application("MobileNet")]),
    ],
)
def test_stages_sum_to_the_total_cost(make):
    model = make()
    stages = outline(model)
    for name in ("parameters", "multiply_adds"):
        assert sum(getattr(stage, name) for stage in stages) == cost(model).attrs[name]
