"""`Check`: the result of one check: its name, its status, what was measured, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OK, WARNING, FAIL, CANNOT_TELL = "ok", "warning", "FAIL", "cannot tell"
STATUSES = (OK, WARNING, FAIL, CANNOT_TELL)


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what is checked, for example "gradients".
        status: "ok"; "warning": probably a mistake, but training may work; "FAIL": training cannot work, or not as it
            should; "cannot tell": the check does not apply, or what it measures is no evidence.
        measured: what was measured, with numbers.
        remedy: what to do; "" if nothing.
    """

    name: str
    status: str
    measured: str
    remedy: str = ""

    @property
    def failed(self) -> bool:
        """True for the status "FAIL"."""
        return self.status == FAIL

    def __str__(self) -> str:
        return f"{self.name}: {self.measured}{f'; {self.remedy}' if self.remedy else ''}"


def with_status(checks: Sequence[Check], *statuses: str) -> list[Check]:
    """Return the checks of some statuses, in order."""
    return [check for check in checks if check.status in statuses]
