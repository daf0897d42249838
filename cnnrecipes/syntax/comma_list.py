"""Lists of values in one argument, separated by commas outside of quotes, brackets and parentheses."""

from __future__ import annotations

_CLOSING = {"(": ")", "[": "]", "{": "}"}


def split_at_commas(text: str) -> list[str]:
    """Split a text at its commas, except for those within quotes, brackets and parentheses.

    Raises:
        ValueError: a bracket or a quote is not closed, or a bracket not opened.
    """
    pieces, begin, quote, expected = [], 0, "", list[str]()
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and text[place - 1] != "\\" else quote
        elif letter in "\"'":
            quote = letter
        elif letter in _CLOSING:
            expected.append(_CLOSING[letter])
        elif letter in _CLOSING.values():
            if not expected or expected.pop() != letter:
                raise ValueError(f"{letter!r} at character {place + 1} closes nothing; balance the brackets")
        elif letter == "," and not expected:
            pieces.append(text[begin:place])
            begin = place + 1
    if quote or expected:
        raise ValueError(f"{quote or expected[-1]} is missing at the end; quote the argument for the shell")
    return [*pieces, text[begin:]]
