"""Model analysis: cost, receptive fields, activation statistics, feature maps, diagrams."""

from cnnrecipes.analysis.activation_statistics import activation_statistics
from cnnrecipes.analysis.activation_statistics_plot import plot_activation_statistics
from cnnrecipes.analysis.batch_sheet import plot_batch
from cnnrecipes.analysis.dead_channels import dead_channels
from cnnrecipes.analysis.diagram import diagram
from cnnrecipes.analysis.effective_field import effective_receptive_field, plot_receptive_field
from cnnrecipes.analysis.feature_plots import plot_feature_maps, plot_filters
from cnnrecipes.analysis.initializations import compare_initializations
from cnnrecipes.analysis.inspection import Inspection, inspect, write_inspection
from cnnrecipes.analysis.receptive_field import receptive_field
from cnnrecipes.analysis.schedule_plot import plot_extension, plot_schedule
from cnnrecipes.analysis.stacked_convolutions import compare_stacks
from cnnrecipes.models.cost import cost

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
    "plot_extension",
    "plot_feature_maps",
    "plot_filters",
    "plot_receptive_field",
    "plot_schedule",
    "receptive_field",
    "write_inspection",
]
