"""Tools that show what a network is and does: its cost, its fields of view, its activations, its picture."""

from cnnrecipes.debug.activation_plot import plot_activation_statistics
from cnnrecipes.debug.activations import activation_statistics
from cnnrecipes.debug.batch_sheet import plot_batch
from cnnrecipes.debug.cost import cost
from cnnrecipes.debug.dead_channels import dead_channels
from cnnrecipes.debug.diagram import diagram
from cnnrecipes.debug.effective_field import effective_receptive_field, plot_receptive_field
from cnnrecipes.debug.features import plot_feature_maps, plot_filters
from cnnrecipes.debug.initializations import compare_initializations
from cnnrecipes.debug.inspection import Inspection, inspect
from cnnrecipes.debug.receptive_field import receptive_field
from cnnrecipes.debug.schedule_plot import plot_schedule
from cnnrecipes.debug.stacks import compare_stacks

__all__ = [
    "Inspection",
    "activation_statistics",
    "compare_initializations",
    "compare_stacks",
    "cost",
    "dead_channels",
    "diagram",
    "effective_receptive_field",
    "inspect",
    "plot_activation_statistics",
    "plot_batch",
    "plot_feature_maps",
    "plot_filters",
    "plot_receptive_field",
    "plot_schedule",
    "receptive_field",
]
