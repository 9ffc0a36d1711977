"""Run the commands of docs/tutorial.md, and write what they print, and their drawings, into it.

    make tutorial       # on a machine that is quiet: minutes

What was written stands in tutorial/; a picture of its report.html is taken by hand.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
IMAGES = ROOT / "docs" / "images"
WORK = Path("tutorial")
BLOCKS = re.compile(r"```sh\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
SHOWN_LINES = 24
"""More than that is shown by its first and last lines."""
ENDS = 4
DOING = "(profile|plan|apply|verify): |gathering |what [0-9]+ |running |the whole network"
BY_CHANCE = re.compile(rf" *channels are matched|[0-9]+% |([0-9]+/[0-9]+ )?({DOING})")
"""Lines that a run may have or not, depending on what it finds and how long it takes: left out."""


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
    """What the commands print, in a folder of their own. The first one that fails ends it all."""
    print(commands, end="", flush=True)
    given = commands.replace("python examples", f"python -P {ROOT / 'examples'}")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", given],
        cwd=WORK,
        env={**os.environ, "PATH": programs, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nthat ended with status {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
