"""The small languages of a recipe's values: calls with parameters, durations, initializations."""
