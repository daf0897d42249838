"""Checks of a model, its loss and its data before the first step: one function a check, each usable alone."""
