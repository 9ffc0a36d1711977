"""Kinds that other packages bring, broken ones among them (a sound one: testing/)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankwise.errors import LayerError
from rankwise.lowrank import KINDS
from rankwise.lowrank.builtin_kinds import BUILT_IN
from rankwise.lowrank.registry import GROUP, Registry


def run(code: list[str], site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
    )


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that can be written into; see `package`."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def package(site: Path, name: str, *entries: str) -> None:
    """An installed package, as far as its metadata goes, with entries of the group."""
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *entries, ""]))


def module(site: Path, name: str, text: str) -> None:
    site.mkdir(exist_ok=True)
    (site / f"{name}.py").write_text(text)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("odd = rankwise_no_such_module:KIND", "No module named 'rankwise_no_such_module'"),
        ("odd = rankwise_odd:MISSING", "no attribute 'MISSING'"),
        ("odd = rankwise_odd:NUMBER", "is a int, not a Kind"),
        ("odd = rankwise_odd:SVD", "calls itself 'svd'"),
        ("svd = rankwise_odd:SVD", "a built-in kind has that name"),
        ("odd = rankwise_dies", "first line second line"),
    ],
)
def test_a_broken_kind_is_one_sentence(
    named: Path, caplog: pytest.LogCaptureFixture, entry: str, words: str
) -> None:
    module(
        named, "rankwise_odd", "from rankwise.lowrank import KINDS\nNUMBER, SVD = 3, KINDS['svd']"
    )
    module(named, "rankwise_dies", "raise SystemError('first line\\nsecond line')")
    package(named, "odd-package", entry)
    kinds = Registry(BUILT_IN)
    assert set(kinds) == {kind.name for kind in BUILT_IN}
    (message,) = [record.message for record in caplog.records]
    assert words in message
    assert "package odd-package" in message
    assert "\n" not in message
    name = entry.partition(" ")[0]
    assert dict(kinds.failures) == {name: message}
    if name != "svd":
        with pytest.raises(LayerError) as refusal:
            kinds.find(name)
        assert str(refusal.value) == message


def test_of_two_kinds_with_one_name_neither_hides_the_other(named: Path) -> None:
    text = "from rankwise.lowrank import KINDS\nfrom dataclasses import replace\n"
    module(named, "rankwise_odd", text + "ODD = replace(KINDS['svd'], name='odd')")
    package(named, "a-package", "odd = rankwise_odd:ODD")
    package(named, "b-package", "odd = rankwise_odd:ODD")
    kinds = Registry(BUILT_IN)
    assert "another package has a kind of that name" in kinds.failures["odd"]
    assert "odd" not in kinds


def test_nothing_is_looked_for_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(**_: object) -> None:
        raise AssertionError("looked for plugins")

    monkeypatch.setattr("rankwise.lowrank.registry.entry_points", never)
    kinds = Registry(BUILT_IN)
    assert kinds["svd"].name == kinds.find("cp").name.replace("cp", "svd")
    with pytest.raises(AssertionError, match="looked"):
        kinds.find("magic")


@pytest.mark.slow
def test_the_command_line_goes_on_without_a_broken_kind(
    named: Path, network_file: Path, tmp_path: Path
) -> None:
    package(named, "odd-package", "odd = rankwise_no_such_module:KIND")
    main = (
        "import sys; from rankwise.cli import main; sys.argv = ['rankwise', *sys.argv[1:]]; main()"
    )
    done = run(["-c", main, "layers", str(network_file), "--json"], named, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "kind 'odd' of package odd-package cannot be used: No module named "
        "'rankwise_no_such_module'; repair or uninstall the package"
    ]
    assert json.loads(done.stdout)["layers"]
    words = ["profile", str(network_file), "--backend", "fake", "--kinds", "odd"]
    asked = run(["-c", main, *words], named, tmp_path)
    assert asked.returncode == 2
    assert "Traceback" not in asked.stderr
    assert "kind 'odd' of package" in asked.stderr


def test_the_shared_registry_has_the_built_in_kinds() -> None:
    assert {kind.name for kind in BUILT_IN} <= set(KINDS)
