"""Runs: the run folder, checkpoints, the artifact, evaluation and prediction."""
