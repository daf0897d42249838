"""Keras objects of a recipe: schedule, optimizer and loss, which delegate to the registered classes of `optim`.

`optim` imports neither Keras nor TensorFlow, because recipes are read with it; these classes extend those of Keras.
"""
