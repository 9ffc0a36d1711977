"""docs/tutorial.md, walked as a reader does: typed into a terminal, then looked at in a browser.

On the fake backend and with a narrower network, so that it takes seconds: numbers, ranks, kinds and
verdicts are others then, and whatever is said around them has to be the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ..service.browser_driver import Browser, opened

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
KIND = r"\b(?:channel_svd|input_svd|spatial_svd|tucker2|svd)\b"
VERDICT = r"\b(?:FASTER|SLOWER|SAME|UNDECIDED)\b"
NUMBER = r"-?\d[\d.]*(?:e[-+]\d+)?(?:x\d+)*"
BROKEN = 3
"""Into so many lines a sentence may be broken, in another place than in the document."""
FOLDED = " " * 20
"""How a line begins that goes on with the text of the last column of the line above."""
SERVE = "rankwise serve"
PATIENCE_S = 280


def told() -> list[tuple[list[str], list[str]]]:
    """Each block of commands of the page, and the lines that it shows of their answers."""
    story: list[tuple[list[str], list[str]]] = []
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "sh":
            lines = re.sub(r" \\\n *", " ", text).splitlines()
            commands = [line for line in lines if line.startswith(("rankwise ", "python "))]
            story.append((commands, []))
        elif story:
            story[-1][1].extend(line for line in text.splitlines() if line.strip())
    return story


def masked(line: str) -> str:
    """The line without what is measured and chosen: numbers, units, kinds, verdicts, devices."""
    line = re.sub(r"(onnxruntime-cpu|fake)( [0-9a-f]{6}\b)?", "DEVICE", line)
    line = re.sub(r"^(network .* on DEVICE).*", r"\1", line)  # the name of its chip
    line = re.sub(f"{KIND} {NUMBER}", "CHOSEN", re.sub(r"\b(ms|us|s)\b", "UNIT", line))
    line = re.sub(NUMBER, "N", re.sub(VERDICT, "VERDICT", line))
    line = re.sub("N VERDICT(, N VERDICT)*", "VERDICTS", line)
    line = re.sub(r"\b(predicted|measured)(?= +N UNIT)", "KNOWN", line)  # of a front's point
    if "DEVICE" not in line:  # what a plan decides of a layer, and why
        line = re.sub(r"(?<=->N) +(CHOSEN|original) .*", " DECIDED", line)
    return " ".join(line.split())


def unfolded(lines: list[str]) -> list[str]:
    """The lines with what narrow terminals have folded in one again: the page's are wide."""
    found: list[str] = []
    for line in lines:
        if found and line.startswith(FOLDED):
            found[-1] += f" {line.strip()}"
        else:
            found.append(line)
    return found


def begun(lines: list[str]) -> list[list[str]]:
    """What is said from each line on, by one line, two and three."""
    some = range(1, BROKEN + 1)
    return [[masked(" ".join(lines[at : at + n])) for n in some] for at in range(len(lines))]


def absent(lines: list[str], others: list[str]) -> list[str]:
    """Lines that are not among the others, in their order. Two alike may be one there: how many
    candidates a layer has, say, is another with another network."""
    asked, there = begun(lines), begun(others)
    missing, at, here = [], 0, 0
    while at < len(lines):
        found = (
            (place, n)
            for n in range(BROKEN)
            for place in range(here, len(there))
            if asked[at][n] in there[place]
        )
        here, n = next(found, (here, None))
        if n is None:
            missing.append(lines[at])
        at += 1 + (n or 0)
    return missing


def test_differences_are_seen() -> None:
    """A line or column too many, another order; not other numbers, nor where a line is broken."""
    page = ["layer  x  verdict", "a1  2  FASTER", "1 row of 2 that it", "has"]
    assert not absent(page, ["layer  x  verdict", "a7  1  SLOWER", "3 row of 4", "that it has"])
    assert not absent(page, [*page[:2], "b", "1 row of 2 that it has"])
    assert absent([*page, "b"], page) == ["b"]
    assert absent(["layer  x  device  verdict", *page[1:]], page) == ["layer  x  device  verdict"]
    assert absent([page[1], page[0]], page) == [page[0]]


@dataclass
class Walk:
    """The terminal, and what it has shown of each command."""

    terminal: Any
    folder: Path
    shown: dict[str, Any] = field(default_factory=dict)

    def line(self, verb: str, pattern: str) -> re.Match[str]:
        """What the pattern finds in the first answer to `rankwise VERB`."""
        command = next(one for one in self.shown if one.startswith(f"rankwise {verb} "))
        found = re.search(pattern, "\n".join(self.shown[command].lines), re.MULTILINE)
        assert found, f"{command} does not say {pattern}"
        return found


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """All commands of the page, typed one after the other."""
    folder = tmp_path_factory.mktemp("reader")
    write_a_smaller_network(folder / "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))
        from reader_terminal import Terminal
    with Terminal(folder, PATIENCE_S) as terminal:
        walked = Walk(terminal, folder)
        for command in (one for commands, _ in told() for one in commands):
            if command != SERVE:  # it goes on until it is told to stop
                walked.shown[command] = terminal.type(command.replace("onnxruntime-cpu", "fake"))
        yield walked


def write_a_smaller_network(folder: Path) -> None:
    """The script that the reader starts, with smaller numbers in it."""
    folder.mkdir()
    script = (ROOT / "examples" / "tutorial_network.py").read_text(encoding="utf-8")
    smaller = script.replace("WIDTH = 40, 64, 8, 64", "WIDTH = 40, 32, 8, 16")
    assert smaller != script
    (folder / "tutorial_network.py").write_text(smaller, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_terminal_shows_what_the_page_says(
    walk: Walk, example: Callable[[str], ModuleType]
) -> None:
    """Line by line; and, where the page leaves nothing out, nothing else."""
    by_chance = example("write_tutorial").BY_CHANCE
    assert len(walk.shown) > 6
    assert {answer.status for answer in walk.shown.values()} == {0}, walk.shown
    for commands, page in told():
        said = [line for one in commands if one != SERVE for line in walk.shown[one].lines]
        screen = [line for line in unfolded(said) if line.strip() and not by_chance.match(line)]
        lines = [line for line in page if line != "..."]
        missing = absent(lines, screen)
        assert not missing, f"{commands} do not say {missing} but\n" + "\n".join(screen)
        more = absent(screen, lines) if lines == page != [] else []
        assert not more, f"the page does not say that {commands} say {more}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_files_are_there(walk: Walk) -> None:
    """Whatever the commands of the page are told to write."""
    named = re.findall(r" -o (\S+)", "\n".join(walk.shown))
    assert {"plan.json", "smaller.onnx", "report.html", "front.svg", "staircase.svg"} <= {*named}
    assert all((walk.folder / name).stat().st_size > 0 for name in named)


@pytest.fixture
def page(walk: Walk, tmp_path: Path, need: Any) -> Iterator[Browser]:
    """The page of the service that is started last in the terminal; Ctrl-C ends it."""
    assert told()[-1][0] == [SERVE]
    with opened(tmp_path, need) as browser:
        walk.terminal.begin(f"{SERVE} --port 0")  # the page's port may be taken
        browser.look(1280, dark=False)
        browser.driver.get(walk.terminal.wait_for(r"(http://[\d.:]+)\s"))
        yield browser
    walk.terminal.interrupt()
    ended = walk.terminal.end()
    assert ended.status == 0, ended.lines


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_browser_shows_what_the_terminal_said(walk: Walk, page: Browser) -> None:
    """The plan and the table of the same store."""
    look_at_the_overview(walk, page)
    look_at_the_plan(walk, page)
    look_at_the_table(walk, page)
    page.assert_quiet()


SPEEDUP = r"speedup ([\d.]+) \[([\d.]+), ([\d.]+)\]"


def numbers(text: str) -> list[float]:
    return [float(one) for one in re.findall(r"\d+(?:\.\d+)?", text)]


def rounded(*shown: str) -> Any:
    """Numbers of the terminal, as the page has them with fewer digits."""
    return pytest.approx([float(one) for one in shown], abs=0.0051)


def look_at_the_overview(walk: Walk, page: Browser) -> None:
    """The plan has a line with its predicted and its measured speedup, and leads to its view."""
    command = next(one for one in walk.shown if one.startswith("rankwise plan "))
    limit = re.findall(r"--max-error (\S+)", command)[0]
    page.one('a[href^="#/plans/"]')
    row = page.driver.find_element("xpath", f'//tr[td[.="network error up to {limit}"]]')
    cells = [one.text for one in row.find_elements("css selector", "th, td")]
    assert numbers(cells[2]) == rounded(*walk.line("plan", SPEEDUP).groups())
    assert numbers(cells[3]) == rounded(*walk.line("verify", f"measured {SPEEDUP}").groups())
    row.find_element("css selector", "a").click()


def look_at_the_plan(walk: Walk, page: Browser) -> None:
    """What it promises in all, and each layer's decision."""
    page.one("#plan-actions")
    facts = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert facts["Layers replaced"] == walk.line("plan", r"\d+ of \d+(?= layers replaced)")[0]
    measured = walk.line("verify", r"measured speedup ([\d.]+)")[1]
    assert numbers(facts["Measured speedup"]) == rounded(measured)
    error = walk.line("verify", r"^relative error: ([\d.]+)")[1]
    assert numbers(facts["Measured network error"]) == rounded(error)
    rows = page.until(page.rows)
    assert len(rows) == int(facts["Layers replaced"].split()[-1])
    for layer, _, becomes, *_ in rows:
        decision = becomes.strip("\u25bc ").replace("\u00d7", "x")
        walk.line("plan", f"^{layer} .* {decision} ")


def look_at_the_table(walk: Walk, page: Browser) -> None:
    """Once the network is uploaded: the same candidates with the same speedups and verdicts."""
    page.open("#/measure")
    page.click("#upload-network-part summary")
    page.one('#upload-network input[name="file"]').send_keys(str(walk.folder / "net.onnx"))
    page.click("#upload-network button")
    page.until(lambda: "net.onnx" in page.one("#network option:checked").text)
    network = page.one("#network").get_attribute("value")
    page.open(f"#/networks/{network}/table")
    counted = walk.line("table", r"^(\d+) rows: (\d+) FASTER")
    page.press("#find", "node_conv2d_4")
    page.until(lambda: page.one('[role="status"]').text.startswith(f"{counted[1]} of "))
    assert f" {counted[2]} of them FASTER" in page.one('[role="status"]').text
    rows = page.rows()
    assert len(rows) == int(counted[1])
    for _, _, candidate, speedup, _, verdict, *_ in rows:
        one = candidate.replace("\u00d7", "x")
        row = walk.line("table", f" {one} .* [mu]s +([\\d.]+) .* {verdict}$")
        assert numbers(speedup) == rounded(row[1])


def test_what_commands_print_is_written_into_the_page(
    example: Callable[[str], ModuleType],
) -> None:
    page = "a\n```sh\none\n```\n\n```text\nold\n```\nb\n\n```sh\ntwo\n```\n\nc\n"
    asked: list[str] = []

    def run(commands: str) -> str:
        asked.append(commands)
        return "channels are matched: so\n" + "".join(f"line {n} \n" for n in range(30))

    written = example("write_tutorial").rewritten(page, run)
    assert asked == ["one\n", "two\n"]
    shown = [0, 1, 2, 3, "...", 26, 27, 28, 29]
    lines = "".join(f"line {n}\n" if isinstance(n, int) else f"{n}\n" for n in shown)
    assert written == page.replace("old\n", lines)


def test_the_writer_sees_what_a_reader_sees(example: Callable[[str], ModuleType]) -> None:
    """The end of what was wiped away, long lines whole, and where a command has failed."""
    run = example("write_tutorial").run
    Path("tutorial").mkdir()
    assert run("echo a \\\n  b\nprintf 'old\\r\\033[2Knew\\n'\n") == "a b\nnew\n"
    assert run(f"echo {'word ' * 30}\n") == f"{('word ' * 30).strip()}\n"
    with pytest.raises(SystemExit, match="ended with status 3"):
        run("(exit 3)\n")
