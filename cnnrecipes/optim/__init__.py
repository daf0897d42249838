"""Schedules, optimizers, losses and weight averages: one class each, found by a registry.

`schedule.py`, `extension.py`, `optimizer.py` and `loss.py` hold a base class and its registry; `schedules/`,
`extensions/`, `optimizers/` and `losses/` hold the built-in classes. They import TensorFlow and Keras lazily, because
recipes are read without them. `cnnrecipes/keras_optim/` holds the one Keras class of each kind.
"""
