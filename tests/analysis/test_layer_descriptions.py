"""Descriptions of layers."""

from __future__ import annotations

import keras
import pytest

from cnnrecipes.analysis.layer_descriptions import words
from cnnrecipes.models.graph import calls

L = keras.layers


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (L.Conv2D(8, 3), "3x3 conv 8"),
        (L.Conv2D(8, (1, 7), activation="relu"), "1x7 conv 8, relu"),
        (L.Conv2D(8, 3, strides=2), "3x3 conv 8 /2"),
        (L.Conv2D(8, 3, dilation_rate=2), "3x3 conv 8, dilation 2"),
        (L.Conv2D(8, 3, groups=2), "3x3 conv 8, 2 groups"),
        (L.Conv2D(4, 3, groups=4), "3x3 depthwise conv 4"),
        (L.DepthwiseConv2D(5), "5x5 depthwise conv"),
        (L.SeparableConv2D(8, 3), "3x3 separable conv 8"),
        (L.Conv2DTranspose(8, 2, strides=2), "2x2 transposed conv 8 /2"),
        (L.MaxPooling2D(2), "2x2 max pool"),
        (L.MaxPooling2D(3, strides=2), "3x3 max pool /2"),
        (L.AveragePooling2D(3, strides=1), "3x3 average pool /1"),
        (L.MaxPooling2D(1, strides=2), "every 2nd pixel"),
        (L.ZeroPadding2D(1), ""),
        (L.ZeroPadding2D(((0, 0), (2, 2)), data_format="channels_first"), "zeros as new channels"),
        (L.BatchNormalization(), "norm"),
        (L.GroupNormalization(2), "group norm"),
        (L.GroupNormalization(1), "layer norm"),
        (L.GroupNormalization(-1), "instance norm"),
        (L.LayerNormalization(), "channel norm"),
        (L.Activation("gelu"), "gelu"),
        (L.Activation("linear"), ""),
        (L.ReLU(6), "relu6"),
        (L.LeakyReLU(), "leakyrelu"),
        (L.Dropout(0.25), "dropout 0.25"),
        (L.Dropout(0.25, noise_shape=(None, 1, 1, 1)), "drop path"),
        (L.GlobalAveragePooling2D(), "global average pool"),
        (L.Dense(10, activation="softmax"), "dense 10, softmax"),
        (L.UpSampling2D(), "up sampling2d"),
    ],
)
def test_layer_description(layer, expected):
    images = keras.Input((16, 16, 4))
    assert words(calls(keras.Model(images, layer(images)))[-1]) == expected
