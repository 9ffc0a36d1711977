"""A terminal as a reader of the tutorial has it: bash, 100 columns, and what stands on the screen.

Progress bars are drawn and wiped away in it as on a real one, so what is read is what is left.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pexpect
import pyte

COLUMNS, LINES = 100, 40
KEPT_LINES = 1000
"""Of the screen: what a reader would scroll back to."""
PROMPT = "reader[$?]$ "
SETTINGS = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PYTHONPATH", "RANKWISE_")
"""How variables begin that would change what is shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What stands below a command once the prompt is back. Lines are whole that the terminal has
    broken at its edge; those that the program has broken stay so."""

    lines: list[str]
    status: int


class _Screen(pyte.Screen):
    """Knows which rows go on in the next one because the terminal broke them at its edge."""

    def reset(self) -> None:
        self.broken: set[int] = set()
        self.drawing = False
        super().reset()

    def draw(self, data: str) -> None:
        self.drawing = True
        super().draw(data)
        self.drawing = False

    def linefeed(self) -> None:
        note = self.broken.add if self.drawing else self.broken.discard
        note(self.cursor.y)
        super().linefeed()

    def row(self, y: int) -> str:
        """The row's text; with the end of the line, if it ends there."""
        text = "".join(self.buffer[y][x].data for x in range(self.columns))
        return text if y in self.broken else f"{text.rstrip()}\n"


class Terminal:
    """One bash, from its start until the end of the `with`. A command may take `patience_s`."""

    def __init__(self, folder: Path, patience_s: float = 3600) -> None:
        self._screen = _Screen(COLUMNS, KEPT_LINES)
        self._stream = pyte.Stream(self._screen)
        self._bash = pexpect.spawn(
            "bash",
            ["--noprofile", "--norc"],
            cwd=str(folder),
            env=_environment(),
            dimensions=(LINES, COLUMNS),
            encoding="utf-8",
            timeout=patience_s,
        )
        self._prompt()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._bash.close(force=True)

    def type(self, command: str) -> Answer:
        """Type one command, and wait for the next prompt."""
        self.begin(command)
        return self.end()

    def begin(self, command: str) -> None:
        """Type one command. The screen was wiped before, but for the prompt."""
        self._screen.reset()
        self._stream.feed(str(self._bash.after))
        self._above = 1 + (len(self._bash.after) + len(command)) // COLUMNS
        self._bash.sendline(command)

    def wait_for(self, pattern: str) -> str:
        """Wait for a regular expression in what the command that runs says; return its group."""
        self._bash.expect(pattern)
        self._stream.feed(self._bash.before + self._bash.after)
        return str(self._bash.match[1])

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._bash.sendintr()

    def end(self) -> Answer:
        """Wait for the next prompt."""
        status = self._prompt()
        self._stream.feed(self._bash.before)
        rows = range(self._above, self._screen.cursor.y)
        return Answer("".join(map(self._screen.row, rows)).splitlines(), status)

    def _prompt(self) -> int:
        """Wait for the prompt, which tells the status of the command before."""
        self._bash.expect(r"reader\[(\d+)\]\$ ")
        return int(self._bash.match[1])


def _environment() -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(SETTINGS)}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # what somebody has set for the keys of his own command lines stays out
    return {
        **kept,
        "PATH": programs,
        "PS1": PROMPT,
        "TERM": "xterm-256color",
        "INPUTRC": os.devnull,
    }
