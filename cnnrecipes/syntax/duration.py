"""Durations with a unit: "5 epochs", "10%" (of the whole training), "400 steps"; "50 min", "2 h"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

TIME_PATTERN = r"^\s*(\d+(?:\.\d+)?)\s*(s|min|h)\s*$"
SECONDS = {"s": 1, "min": 60, "h": 3600}
PATTERN = r"^\s*(\d+(?:\.\d+)?)\s*(epochs?|steps?|%)\s*$"


@dataclass(frozen=True)
class Duration:
    """Duration of training: a non-negative amount and its unit, one of "epochs", "steps" and "%"."""

    amount: float
    unit: str

    @classmethod
    def parse(cls, text: object) -> Duration:
        """Parse "5 epochs", "0.5 epochs", "400 steps" or "10%". Raise ValueError for anything else."""
        if isinstance(text, Duration):
            return text
        match = re.match(PATTERN, text) if isinstance(text, str) else None
        if match is None:
            raise ValueError('a duration is a text with its unit, for example "5 epochs", "400 steps" or "10%"')
        amount, unit = float(match[1]), match[2] if match[2] == "%" else match[2].rstrip("s") + "s"
        if unit == "%" and amount > 100:
            raise ValueError("a share of the training is at most 100%")
        return cls(amount, unit)

    def steps(self, steps_per_epoch: int, total_steps: int) -> int:
        """Return the duration in optimizer steps, rounded to the nearest integer."""
        scale = {"steps": 1.0, "epochs": steps_per_epoch, "%": total_steps / 100}[self.unit]
        return round(self.amount * scale)

    def __str__(self) -> str:
        unit = self.unit if self.unit == "%" else f" {self.unit[:-1] if self.amount == 1 else self.unit}"
        return f"{_digits(self.amount)}{unit}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict:
        return {"type": "string", "pattern": PATTERN, "examples": ["5 epochs", "400 steps", "10%"]}


@dataclass(frozen=True)
class TimeSpan:
    """Wall-clock time: a positive amount and its unit, one of "s", "min" and "h"."""

    amount: float
    unit: str

    @classmethod
    def parse(cls, text: object) -> TimeSpan:
        """Parse "90 s", "50 min" or "1.5 h". Raise ValueError for anything else."""
        if isinstance(text, TimeSpan):
            return text
        match = re.match(TIME_PATTERN, text) if isinstance(text, str) else None
        if match is None or float(match[1]) == 0:
            raise ValueError('a time is a text with its unit, for example "90 s", "50 min" or "2 h"')
        return cls(float(match[1]), match[2])

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.amount * SECONDS[self.unit]

    def __str__(self) -> str:
        return f"{_digits(self.amount)} {self.unit}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict:
        return {"type": "string", "pattern": TIME_PATTERN, "examples": ["90 s", "50 min", "2 h"]}


def _digits(amount: float) -> str:
    """Return a number with all its digits, without an exponent."""
    return f"{Decimal(repr(amount)).normalize():f}"
