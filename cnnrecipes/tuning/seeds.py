"""Seeds of trials and of the trainings after a search, derived from the seed of the search."""

from __future__ import annotations

import hashlib

_LIMIT = 2**31  # of train.seed


def trial_seed(search_seed: int, number: int) -> int:
    """Return `train.seed` of a trial, a number below 2**31."""
    return _derived("trial", search_seed, number)


def proposal_seed(search_seed: int, number: int) -> int:
    """Return the seed that a trial's values are drawn with, a number below 2**31."""
    return _derived("values", search_seed, number)


def execution_seed(seed: int, values: str, number: int) -> int:
    """Return `train.seed` of a training in a tuner of keras-tuner: the number-th of its values, from 0."""
    return _derived(f"execution of {values}", seed, number)


def unused_seeds(search_seed: int, count: int, used: set[int]) -> list[int]:
    """Return different seeds for trainings after the search, none of which is in `used`."""
    found: list[int] = []
    number = 0
    while len(found) < count:
        number += 1
        seed = _derived("retraining", search_seed, number)
        if seed not in used and seed not in found:
            found.append(seed)
    return found


def _derived(purpose: str, seed: int, number: int) -> int:
    digest = hashlib.sha256(f"{purpose} {seed} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "little") % _LIMIT
