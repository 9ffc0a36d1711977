"""Backends by name and options, built in and from other packages."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points

import pytest

from rankwise.backends import registry
from rankwise.backends.fake import FakeBackend
from rankwise.backends.registry import backend_names, open_backend
from rankwise.errors import BackendError


class Foreign(FakeBackend):
    def __init__(self, **options: str) -> None:
        super().__init__()
        self.options = options


def announce(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """As if installed packages brought these backends."""
    points = [EntryPoint(name, value, registry.GROUP) for name, value in values.items()]

    def found(*, group: str, name: str | None = None) -> list[EntryPoint]:
        assert group == registry.GROUP
        return [point for point in points if name in (None, point.name)]

    monkeypatch.setattr(registry, "entry_points", found)


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_built_in_ones_open_without_metadata(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch)
    assert name in backend_names()
    assert open_backend(name).name == name


def test_metadata_names_the_same_classes() -> None:
    for point in entry_points(group=registry.GROUP):
        module, _, attribute = point.value.rpartition(":")
        assert registry.BUILT_IN[point.name] == f"{module.rpartition('.')[2]}:{attribute}"


def test_options_reach_the_backend() -> None:
    backend = open_backend("fake:step=8, gmacs=2.5")
    assert isinstance(backend, FakeBackend)
    assert (backend.step, backend.macs_per_s) == (8, 2.5e9)
    assert open_backend("fake:").fingerprint() == open_backend("fake").fingerprint()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abacus", ["abacus", "fake", "onnxruntime-cpu", "torch-cpu"]),
        ("", ["unknown", "fake"]),
        ("fake:colour=red", ["colour", "step, launch_us"]),
        ("torch-cpu:threads=2", ["threads", "takes no options"]),
        ("fake:step", ["step=16", "'step'"]),
        ("fake:=3", ["step=16"]),
        ("fake:step=many", ["step", "'many'"]),
    ],
)
def test_one_sentence_for_what_cannot_be_opened(text: str, words: list[str]) -> None:
    with pytest.raises(BackendError) as caught:
        open_backend(text)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words)


def test_backends_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, foreign=f"{__name__}:Foreign")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Foreign.__module__])
    assert backend_names() == sorted([*registry.BUILT_IN, "foreign"])
    backend = open_backend("foreign:anything=1")
    assert isinstance(backend, Foreign) and backend.options == {"anything": "1"}


@pytest.mark.parametrize("value", ["no_such_module_anywhere:X", "json:NoSuchClass"])
def test_a_backend_that_cannot_be_imported(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, foreign=value)
    with pytest.raises(BackendError, match="'foreign' cannot be imported: "):
        open_backend("foreign")


def test_a_built_in_one_whose_library_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "rankwise.backends.onnxruntime_cpu", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"'onnxruntime-cpu' cannot be imported: .*onnxruntime"):
        open_backend("onnxruntime-cpu")


def test_only_the_chosen_backend_is_imported() -> None:
    code = """
import json, sys
from rankwise.backends.registry import backend_names, open_backend
backend_names(), open_backend("fake").fingerprint()
print(json.dumps([name for name in ("torch", "onnx", "onnxruntime") if name in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == []
