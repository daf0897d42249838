"""Messages for invalid recipes: the key, the value received, the allowed values, similar keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cnnrecipes.errors import nearest
from cnnrecipes.recipe.keys_and_defaults import SEARCH, TABLES, all_keys
from cnnrecipes.recipe.renamed_keys import RENAMED_KEYS
from cnnrecipes.recipe.values import shown


def explain(item: Mapping[str, Any]) -> str:
    """Return one pydantic error as a message: the key, the value, the allowed values."""
    # A union adds the tried type's name to the place; a key is only as deep as the recipe's tables.
    path = [str(part) for part in item["loc"]]
    known = all_keys()
    key = ".".join(path)
    if item["type"] == "extra_forbidden":
        return unknown_key(key)
    key = next((".".join(path[:n]) for n in (2, 1) if ".".join(path[:n]) in known), key or "recipe")
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error" and isinstance(item["input"], Mapping):
        return f"{key}: {message}"  # of keys that do not fit together; the message names them
    if item["type"] == "missing":
        return f"{key} is missing; give it a value, since it has no default"
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        allowed = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return f"{key} = {shown(item['input'])}; allowed: {', '.join(allowed)}{_did_you_mean(item['input'], allowed)}"
    if item["type"] == "tuple_type":
        message = f"give a list, for example {json.dumps([item['input']], default=str)}"
    return f"{key} = {shown(item['input'])}; {message[:1].lower() + message[1:]}"


def unknown_key(key: str) -> str:
    """Return the message for an unknown recipe key: the new name of a renamed key, or similar keys."""
    if key in RENAMED_KEYS:
        return f"{key} is now {RENAMED_KEYS[key]}"
    return f"unknown key {key!r}{_nearest_key(key)}"


def _nearest_key(key: str) -> str:
    """Return a hint with recipe keys similar to `key`, or that `key` abbreviates, for example lr."""
    known = all_keys()
    leaf = key.rpartition(".")[2]
    short = {"".join(word[:1] for word in one.partition(".")[2].split("_")): one for one in known}
    same = [one for one in known if one.partition(".")[2] == leaf]
    if len(same) == 1 or (len(leaf) > 1 and leaf in short):
        return f" (did you mean {same[0] if len(same) == 1 else short[leaf]}?)"
    return _did_you_mean(key, [*known, *TABLES, SEARCH, "extends"]) or "; `cnnrecipes show RECIPE` lists all keys"


def _did_you_mean(name: str, allowed: list[str]) -> str:
    hint = nearest(name, allowed)
    return hint if "did you mean" in hint else ""
