"""Built-in findings of a diagnosis, by topic; every module of this package is imported by the registry."""
