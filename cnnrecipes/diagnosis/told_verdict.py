"""The verdict that a training tells while it runs: a change is told after epochs that agree on it."""

from __future__ import annotations

from cnnrecipes.diagnosis.diagnosis import HEALTHY, Diagnosis


class ToldVerdict:
    """Decides after each epoch whether the verdict is told: if it is new, and that of the epoch before too.

    Args:
        told: the verdict that counts as told at the start, for example that of a restored history.

    Attributes:
        told: the verdict that was told last; "healthy" before the first.
    """

    def __init__(self, told: str = HEALTHY):
        self.told = self._before = told

    def changes(self, found: Diagnosis) -> str | None:
        """Return the line to tell after an epoch; None if there is nothing new."""
        agree, self._before = found.verdict == self._before, found.verdict
        if not agree or found.verdict == self.told:
            return None
        before, self.told = self.told, found.verdict
        return f"diagnosis: no longer {before.replace('_', ' ')}" if found.verdict == HEALTHY else found.sentence
