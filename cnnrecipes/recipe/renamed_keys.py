"""Keys of recipes that have been renamed, and the upgrade of recipes recorded under their old names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Keys of the table `train` that have moved to another table under the same name.
_MOVED = {
    "optimizer": (
        "learning_rate",
        "scale_rate",
        "layer_decay",
        "momentum",
        "weight_decay",
        "decay",
        "decay_all",
        "clip_norm",
        "clip_value",
        "schedule",
        "warmup",
        "extensions",
        "ema",
        "lookahead",
    ),
    "devices": ("strategy", "steps_per_execution", "on_oom"),
    "logging": ("checkpoint_every", "loggers"),
}
RENAMED_KEYS = {
    "train.optimizer": "optimizer.name",
    "train.accumulate": "train.microbatches",
    "train.artefact": "train.artifact",
    **{f"train.{key}": f"{table}.{key}" for table, keys in _MOVED.items() for key in keys},
}


def upgraded(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a recorded recipe with all renamed keys under their new names."""
    result = {name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()}
    for old, new in RENAMED_KEYS.items():
        (table, key), (new_table, new_key) = old.split("."), new.split(".")
        if isinstance(result.get(table), dict) and key in result[table]:
            value = result[table].pop(key)
            if isinstance(result.setdefault(new_table, {}), dict):
                result[new_table][new_key] = value
    return result
