"""Comparison of recipes and runs: paired trainings, statistics, sequential stopping, tables and plots."""
