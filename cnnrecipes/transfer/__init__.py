"""Transfer learning: frozen features, fine-tuning, and low-rank adaptation of a pretrained backbone."""

from cnnrecipes.transfer.cross_validation import cross_validate
from cnnrecipes.transfer.learning_curve_plot import plot_learning_curve, write_learning_curve
from cnnrecipes.transfer.learning_curves import learning_curve
from cnnrecipes.transfer.preparation import prepare

__all__ = ["cross_validate", "learning_curve", "plot_learning_curve", "prepare", "write_learning_curve"]
