"""Debugging of a training: checks before it, finders of its settings, and a diagnosis of what went wrong."""
