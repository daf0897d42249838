"""Data augmentation: operations, policies (RandAugment and others), MixUp and CutMix, counter-based random numbers."""
