"""From what the user has to batches: sources, splits, statistics, augmentation, the pipeline."""
