"""The preprocessing contract of pretrained backbones: which values the first convolution gets for images 0..255.

| contract | values of the first convolution's input           | by               | `preprocess_input` of                 |
|----------|---------------------------------------------------|------------------|---------------------------------------|
| tf       | x / 127.5 - 1, RGB                                | this module      | MobileNet, MobileNetV2, ResNetV2, InceptionV3, InceptionResNetV2, Xception, NASNet |
| caffe    | x - (123.68, 116.779, 103.939), then BGR          | this module      | VGG, ResNet                           |
| torch    | (x / 255 - mean) / std of ImageNet, RGB           | this module      | DenseNet; EfficientNet, see below     |
| inside   | x / 127.5 - 1 or x / 128 - 1, RGB                 | Keras' own layer | MobileNetV3, EfficientNetV2 S, M, L   |
| inside_rgb | (x / 255 - mean) / std of ImageNet, RGB         | Keras' own layer | EfficientNetV2 B0 to B3, ConvNeXt     |

EfficientNet (B0 to B7): Keras divides by 255 and normalizes by a mean and a variance from the weight file; the
variance there is the standard deviation, and only if Keras itself is asked for weights="imagenet", it divides by
another square root of it (keras/src/applications/efficientnet.py). The result is the contract "torch". Here these
layers are left out and the contract applies to every source of weights.

Gray images (one channel) give the features of the same images as RGB. If all channels are scaled alike ("tf",
"inside"), the filters of the first convolution are summed over RGB (`weights`), and the model has one input channel.
Otherwise zero padding stands for a different gray in each channel, and no filter of one channel gives the same
values at the borders: the model then repeats the channel three times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from cnnrecipes.errors import UnknownNameError

# Over ImageNet's training images, RGB: of Caffe's VGG in 0..255, of torchvision in 0..1.
CAFFE_MEAN = (123.68, 116.779, 103.939)
TORCH_MEAN, TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Contract:
    """Preprocessing of images before the first convolution.

    Attributes:
        summary: the values as a formula of x, the image in 0..255.
        layers: function of RGB images (N, H, W, 3), 0..255, and of gray ones if `alike`, in a functional model.
        alike: True if all channels are scaled alike.
    """

    summary: str
    layers: Callable
    alike: bool

    def apply(self, images):
        """Return the input of Keras' backbone for images (N, H, W, 3), or (N, H, W, 1), in 0..255."""
        if images.shape[-1] == 1 and not self.alike:
            images = keras.layers.Concatenate(dtype="float32", name="preprocess_rgb")([images] * 3)
        return self.layers(images)


def find_contract(name: str) -> Contract:
    """Return a contract by name. Raises UnknownNameError listing the names."""
    if name not in CONTRACTS:
        raise UnknownNameError("preprocessing contract", name, CONTRACTS)
    return CONTRACTS[name]


def _tf(images):
    return keras.layers.Rescaling(1 / 127.5, -1.0, dtype="float32", name="preprocess")(images)


def _torch(images):
    variance = [(255 * std) ** 2 for std in TORCH_STD]
    mean = [255 * value for value in TORCH_MEAN]
    return keras.layers.Normalization(mean=mean, variance=variance, dtype="float32", name="preprocess")(images)


def _caffe(images):
    centered = keras.layers.Normalization(mean=CAFFE_MEAN, variance=(1.0,) * 3, dtype="float32", name="preprocess")
    return keras.ops.flip(centered(images), axis=-1)  # RGB to BGR


def _inside(images):
    return images


CONTRACTS: dict[str, Contract] = {
    "tf": Contract("x / 127.5 - 1", _tf, alike=True),
    "caffe": Contract("x - mean, BGR", _caffe, alike=False),
    "torch": Contract("(x / 255 - mean) / std", _torch, alike=False),
    "inside": Contract("x / 127.5 - 1 or x / 128 - 1, inside the backbone", _inside, alike=True),
    "inside_rgb": Contract("(x / 255 - mean) / std, inside the backbone", _inside, alike=False),
}
