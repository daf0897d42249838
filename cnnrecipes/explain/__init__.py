"""Explanation of a classifier: confusions, mistakes, Grad-CAM and occlusion, features, robustness, slices."""

from cnnrecipes.data.image_names import image_names
from cnnrecipes.explain.confusion import Confusion, confusion
from cnnrecipes.explain.confusion_plot import plot_confusion
from cnnrecipes.explain.corruptions import CORRUPTIONS, corrupt
from cnnrecipes.explain.embedding import embed, embedding, plot_embedding
from cnnrecipes.explain.explained_run import Explanation
from cnnrecipes.explain.explanation import explain_run
from cnnrecipes.explain.explanation_parts import PARTS
from cnnrecipes.explain.features import FeatureModel, features
from cnnrecipes.explain.grad_cam import GradCam, grad_cam
from cnnrecipes.explain.heat_overlay import draw_heat
from cnnrecipes.explain.image_sheet import plot_images
from cnnrecipes.explain.label_noise import confident_joint, find_label_issues
from cnnrecipes.explain.mistakes import least_sure, top_losses
from cnnrecipes.explain.nearest_images import nearest_training_images
from cnnrecipes.explain.occlusion import occlusion
from cnnrecipes.explain.randomization import randomization_check
from cnnrecipes.explain.robustness import plot_robustness, robustness, robustness_sentence
from cnnrecipes.explain.run_data import RunData
from cnnrecipes.explain.slices import slices

__all__ = [
    "CORRUPTIONS",
    "PARTS",
    "Confusion",
    "Explanation",
    "FeatureModel",
    "GradCam",
    "RunData",
    "confident_joint",
    "confusion",
    "corrupt",
    "draw_heat",
    "embed",
    "embedding",
    "explain_run",
    "features",
    "find_label_issues",
    "grad_cam",
    "image_names",
    "least_sure",
    "nearest_training_images",
    "occlusion",
    "plot_confusion",
    "plot_embedding",
    "plot_images",
    "plot_robustness",
    "randomization_check",
    "robustness",
    "robustness_sentence",
    "slices",
    "top_losses",
]
