"""Built-in extensions of a schedule; every module of this package is imported by the registry."""
