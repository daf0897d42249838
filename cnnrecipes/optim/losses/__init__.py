"""Built-in losses; every module of this package is imported by the registry."""
