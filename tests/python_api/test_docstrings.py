"""Every public name has an example in its docstring, which does what it says."""

from __future__ import annotations

import doctest
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest

import rankwise as rw
from rankwise.profiler import probe_backends

NEEDS = {"MlflowTracker": "mlflow", "WandbTracker": "wandb"}


@pytest.fixture
def only_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying every backend takes seconds, and has tests of its own."""
    names = probe_backends.backend_names
    monkeypatch.setattr(
        probe_backends, "backend_names", lambda: [n for n in names() if n == "fake"]
    )


@dataclass
class Outcome:
    """What the runner says of examples that fail."""

    said: list[str] = field(default_factory=list)

    def write(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.usefixtures("only_fake")
@pytest.mark.parametrize("name", rw.__all__)
def test_the_example_does_what_it_says(
    name: str,
    there: dict[str, Any],
    need: Callable[[str, str], NoReturn],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {key: one for key, one in there.items() if key not in ("folder", "profile")}
    if library := NEEDS.get(name):
        if importlib.util.find_spec(library) is None:
            need(library, f"the library {library} is not installed")
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", (there["folder"] / "mlruns").as_uri())
        monkeypatch.setenv("WANDB_SILENT", "true")
        for place in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR", "ARTIFACT_DIR"):
            monkeypatch.setenv(f"WANDB_{place}", str(there["folder"]))
        given[library] = importlib.import_module(library)
    public = getattr(rw, name)
    text = "\n".join(filter(None, [public.__doc__]))
    test = doctest.DocTestParser().get_doctest(text, given, name, None, 0)
    assert test.examples, f"the docstring of rankwise.{name} has no example"
    outcome = Outcome()
    doctest.DocTestRunner(verbose=False).run(test, out=outcome.write)
    assert not outcome.said, "".join(outcome.said)
