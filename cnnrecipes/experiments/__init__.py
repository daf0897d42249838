"""Experiments that reproduce the claims of the lecture."""

from cnnrecipes.experiments.lecture import EXPERIMENTS, find, run, summary

__all__ = ["EXPERIMENTS", "find", "run", "summary"]
