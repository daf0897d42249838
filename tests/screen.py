"""Run a program on a pseudo-terminal and emulate its screen, as far as rich's output needs."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path

from rich.cells import cell_len

_PIECES = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Screen:
    """The lines that a terminal shows; `overflowed` has the texts that did not fit into their line."""

    def __init__(self, columns: int):
        self.columns = columns
        self.lines, self.row, self.column = [""], 0, 0
        self.overflowed: list[str] = []

    def feed(self, text: str) -> None:
        for numbers, command, back, down, words in _PIECES.findall(text):
            if back:
                self.column = 0
            elif down:
                self._go(self.row + 1)
            elif command == "A":
                self._go(self.row - int(numbers or 1))
            elif command == "K":
                self.lines[self.row] = ""
            elif words:
                self._write(words)

    def _go(self, row: int) -> None:
        self.row = max(row, 0)
        self.lines += [""] * (self.row + 1 - len(self.lines))

    def _write(self, words: str) -> None:
        if self.column + cell_len(words.rstrip()) > self.columns:
            self.overflowed.append(words)
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + words + line[self.column + len(words) :]
        self.column += len(words)

    def text(self) -> list[str]:
        """The lines without trailing spaces and without trailing empty lines."""
        lines = [line.rstrip() for line in self.lines]
        while lines and not lines[-1]:
            lines.pop()
        return lines


def run(command: list[str], folder: Path) -> tuple[str, int]:
    """Run a command in a folder on a terminal, whose width it sets itself; return its output and the exit status."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        os.execve(command[0], command, environment | {"TERM": "xterm-256color"})
    written = b""
    while chunk := _read(terminal):
        written += chunk
    os.close(terminal)
    return written.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the program has ended
        return b""
