"""Data loading: sources, splits, statistics, augmentation and the input pipeline."""
