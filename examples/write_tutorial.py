"""Run the commands of docs/tutorial.md, and write what they print, and their drawings, into it.

    make tutorial       # on a machine that is quiet: minutes

What was written stands in tutorial/; a picture of its report.html is taken by hand.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from reader_terminal import Terminal

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
IMAGES = ROOT / "docs" / "images"
WORK = Path("tutorial")
BLOCKS = re.compile(r"```sh\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
SHOWN_LINES = 24
"""More than that is shown by its first and last lines."""
ENDS = 4
BY_CHANCE = re.compile(r" *channels are matched")
"""Lines that a run may have or not, depending on what it finds: left out."""


def main() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    text = rewritten(PAGE.read_text(encoding="utf-8"), run)
    PAGE.write_text(text, encoding="utf-8")
    for drawing in WORK.glob("*.svg"):
        shutil.copy(drawing, IMAGES / f"tutorial-{drawing.name}")
    print(f"wrote {PAGE.relative_to(ROOT)}; take a picture of {WORK}/report.html")


def rewritten(page: str, run: Callable[[str], str]) -> str:
    """The page with what `run` says of each block of commands in the block that follows it, if
    one does."""

    def block(found: re.Match[str]) -> str:
        printed = run(found[1])
        if found[2] is None:
            return found[0]
        return f"```sh\n{found[1]}```\n\n```text\n{shortened(printed)}```"

    return BLOCKS.sub(block, page)


def shortened(printed: str) -> str:
    lines = [line for line in printed.splitlines() if not BY_CHANCE.match(line)]
    if len(lines) > SHOWN_LINES:
        lines = [*lines[:ENDS], "...", *lines[-ENDS:]]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def run(commands: str) -> str:
    """What a reader sees of the commands, in a folder of their own. The first one that fails ends
    it all."""
    given = commands.replace("\\\n", " ").replace(
        "python examples", f"python -P {ROOT / 'examples'}"
    )
    printed: list[str] = []
    with Terminal(WORK) as terminal:
        for command in given.splitlines():
            print(command, flush=True)
            answer = terminal.type(command)
            printed += answer.lines
            if answer.status:
                sys.exit("\n".join([*printed, f"that ended with status {answer.status}"]))
    return "".join(f"{line}\n" for line in printed)


if __name__ == "__main__":
    main()
