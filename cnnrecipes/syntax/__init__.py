"""Parsers for recipe values: calls with parameters, durations, initializations."""
