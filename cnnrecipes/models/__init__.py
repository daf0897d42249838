"""Model architectures by name: a backbone and a head, composed to a functional `keras.Model`.

One file adds an architecture, in `models/families/` or outside of the package:

    from cnnrecipes import layers
    from cnnrecipes.models import CIFAR, Architecture, register

    def features(x, spec, factories):
        for s, width in enumerate(spec.widths, start=1):
            x = layers.conv_norm_act(x, width, stride=2, factories=factories, name=f"stage{s}")
        return x

    register("mine", Architecture(features=features, options={"widths": (16, 32)}, source="unpublished", setting=CIFAR))

The environment variable CNNRECIPES_PLUGINS lists modules outside of the package, imported when a name is looked up that
is not built in.
"""

from cnnrecipes.models import families
from cnnrecipes.models.architecture import (
    CIFAR,
    IMAGENET,
    Architecture,
    Published,
    Setting,
    check_size,
    check_stages,
)
from cnnrecipes.models.architecture_table import model_table
from cnnrecipes.models.backbone_stages import Backbone, Stage, layers_by_stage, stages
from cnnrecipes.models.composition import backbone, build, build_head
from cnnrecipes.models.heads import HEADS, register_head
from cnnrecipes.models.pretrained import keras_applications_rows
from cnnrecipes.models.pretrained.automatic_backbone import resolved
from cnnrecipes.models.pretrained.preprocessing_mismatch import preprocessing_mismatch
from cnnrecipes.models.pretrained.weights import set_backbone_weights
from cnnrecipes.models.registry import ARCHITECTURES, applications, find, keras_twin, own_architectures, register
from cnnrecipes.models.standardization_layer import standardize, standardize_image

families.load()
keras_applications_rows.load()

__all__ = [
    "ARCHITECTURES",
    "CIFAR",
    "HEADS",
    "IMAGENET",
    "Architecture",
    "Backbone",
    "Published",
    "Setting",
    "Stage",
    "applications",
    "backbone",
    "build",
    "build_head",
    "check_size",
    "check_stages",
    "find",
    "keras_twin",
    "layers_by_stage",
    "model_table",
    "own_architectures",
    "preprocessing_mismatch",
    "register",
    "register_head",
    "resolved",
    "set_backbone_weights",
    "stages",
    "standardize",
    "standardize_image",
]
