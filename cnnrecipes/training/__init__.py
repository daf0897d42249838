"""Training: schedule, optimizer, callbacks and Keras' own `fit`."""
