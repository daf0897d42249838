"""Hyperparameter search over the keys of a recipe, on keras-tuner: each trial is a run."""
