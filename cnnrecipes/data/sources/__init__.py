"""Data sources: one registered class per kind of data.

Built-in: arrays, image folders, tables, archives, TensorFlow Datasets. Another package adds a kind with `@data_source`
on a subclass of `DataSource`; docs/data.md has an example. The environment variable CNNRECIPES_PLUGINS lists modules to
import, separated by commas.
"""

from cnnrecipes.data.images.image_store import ArrayImages, EncodedImages, Pool
from cnnrecipes.data.sources.contents import Contents, Layout
from cnnrecipes.data.sources.data_source_base import Absent, DataSource, ReadOptions
from cnnrecipes.data.sources.registry import data_source

__all__ = [
    "Absent",
    "ArrayImages",
    "Contents",
    "DataSource",
    "EncodedImages",
    "Layout",
    "Pool",
    "ReadOptions",
    "data_source",
]
