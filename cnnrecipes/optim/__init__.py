"""Schedules, their extensions, optimizers and losses, one class each, found by a registry; and weight averages.

`schedule.py`, `extension.py`, `optimizer.py` and `loss.py` hold a base class and its registry; `schedules/`,
`extensions/`, `optimizers/` and `losses/` hold the built-in classes. They import TensorFlow and Keras lazily, because
recipes are read without them. `cnnrecipes/keras_optim/` holds the one Keras class of each kind.
Weight averages are rows of a table in `weight_averages.py` instead: each has its own key in the recipe's `optimizer`
table.
"""
