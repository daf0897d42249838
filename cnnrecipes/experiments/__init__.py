"""Experiments that reproduce the claims of the lecture."""

from cnnrecipes.experiments.last_epochs import summary
from cnnrecipes.experiments.lecture import EXPERIMENTS, changed_setting, find, run

__all__ = ["EXPERIMENTS", "changed_setting", "find", "run", "summary"]
