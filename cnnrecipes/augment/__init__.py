"""Augmentation: the operations, what they do to a batch, and the random numbers that they draw."""
