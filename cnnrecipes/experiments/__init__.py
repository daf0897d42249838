"""Experiments that show the lecture's claims."""

from cnnrecipes.experiments.lecture import EXPERIMENTS, find, run, summary

__all__ = ["EXPERIMENTS", "find", "run", "summary"]
