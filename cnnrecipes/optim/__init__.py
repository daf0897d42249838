"""Schedules, optimizers, losses and weight averages."""
