"""Experiments that reproduce the claims of the lecture."""

from cnnrecipes.experiments.lecture import EXPERIMENTS, changed_setting, find, run
from cnnrecipes.experiments.summary_table import summary

__all__ = ["EXPERIMENTS", "changed_setting", "find", "run", "summary"]
