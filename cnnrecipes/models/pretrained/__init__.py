"""Backbones of `keras.applications` as rows of the model registry, and the files of their pretrained weights."""
