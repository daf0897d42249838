"""Built-in learning rate schedules; every module of this package is imported by the registry."""
