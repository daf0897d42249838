"""Display of a search: its HTML page, pictures, importances of keys, live table, and TensorBoard's HParams."""
