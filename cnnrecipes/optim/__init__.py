"""Schedules, their extensions, optimizers and losses, one class each, found by a registry; and weight averages.

`schedule_registry.py`, `schedule_extension_registry.py`, `optimizer_registry.py` and `loss_registry.py` each hold a
base class and its registry; `schedules/`, `extensions/`, `optimizers/` and `losses/` the built-in classes. They import
TensorFlow and Keras lazily, because recipes are read without them. `keras_optim/` holds the one Keras class of each
kind.

Weight averages are rows of a table in `weight_averages.py` instead: each has its own key in the recipe's `optimizer`
table.
"""
