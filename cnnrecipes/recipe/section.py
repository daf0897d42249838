"""The base class of recipe tables."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base class of recipe tables: frozen; unknown keys raise an error.

    `resumable`: True if the keys of the table may change when a run is resumed, since they do not affect the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)

    resumable: ClassVar[bool] = False
