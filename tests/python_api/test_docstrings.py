"""Every public name has an example in its docstring, which does what it says."""

from __future__ import annotations

import doctest
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

import rankwise as rw
from rankwise.profiler import probe_backends

ROOT = Path(__file__).parents[2]
NEEDS = {"MlflowTracker": "mlflow", "WandbTracker": "wandb"}


@pytest.fixture
def only_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying every backend takes seconds, and has tests of its own."""
    names = probe_backends.backend_names
    monkeypatch.setattr(
        probe_backends, "backend_names", lambda: [n for n in names() if n == "fake"]
    )


@pytest.fixture
def library(
    there: dict[str, Any],
    need: Callable[[str, str], NoReturn],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Any]:
    """A tracker's library, which keeps what it keeps in the folder of the examples."""

    def load(name: str) -> Any:
        if importlib.util.find_spec(name) is None:
            need(name, f"the library {name} is not installed")
        return importlib.import_module(name)

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (there["folder"] / "mlruns").as_uri())
    monkeypatch.setenv("WANDB_SILENT", "true")
    for place in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{place}", str(there["folder"]))
    return load


@dataclass
class Outcome:
    """What the runner says of examples that fail."""

    said: list[str] = field(default_factory=list)

    def write(self, text: str) -> None:
        self.said.append(text)


def check(text: str, name: str, given: dict[str, Any]) -> None:
    """Run the examples of a text."""
    test = doctest.DocTestParser().get_doctest(text, given, name, None, 0)
    assert test.examples, f"{name} has no example"
    outcome = Outcome()
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test, out=outcome.write)
    assert not outcome.said, "".join(outcome.said)


@pytest.mark.usefixtures("only_fake")
@pytest.mark.parametrize("name", rw.__all__)
def test_the_example_does_what_it_says(
    name: str, there: dict[str, Any], library: Callable[[str], Any]
) -> None:
    given = {key: one for key, one in there.items() if key not in ("folder", "profile")}
    if needed := NEEDS.get(name):
        given[needed] = library(needed)
    check(getattr(rw, name).__doc__ or "", f"the docstring of rankwise.{name}", given)


def test_the_page_says_what_happens(there: dict[str, Any], library: Callable[[str], Any]) -> None:
    library("mlflow")
    page = (ROOT / "docs" / "in-python.md").read_text(encoding="utf-8")
    shown = "\n".join(re.findall(r"^```pycon\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    check(
        shown,
        "docs/in-python.md",
        {key: there[key] for key in ("rw", "network", "example", "plan")},
    )
