"""Diagnosis of a training from its records: pure functions on the history, without a model and without files."""
