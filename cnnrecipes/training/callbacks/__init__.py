"""Callbacks: history, best weights, checkpoints, early stopping, progress."""
