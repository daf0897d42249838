"""Data sources: arrays, image folders, tables, archives and TensorFlow Datasets."""
