"""Built-in optimizers; every module of this package is imported by the registry."""
