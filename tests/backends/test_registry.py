"""Backends by name and options, built in and from other packages."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points

import pytest

from rankwise.backends import registry
from rankwise.backends.fake import FakeBackend
from rankwise.backends.registry import backend_names, family_of, found_in_family, open_backend
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


@pytest.mark.parametrize("name", [*registry.BUILT_IN, *registry.OF_FAMILIES])
def test_built_in_ones_open_without_metadata(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch)
    assert name in backend_names()
    assert open_backend(name).name == name


def test_metadata_names_the_same_classes() -> None:
    points = [p for p in entry_points(group=registry.GROUP) if p.dist and p.dist.name == "rankwise"]
    assert {point.name for point in points} == set(registry.BUILT_IN)
    for point in points:
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
        ("openvino-cpu:threads=2", ["threads", "takes no options"]),
        ("torch-cpu:execution=graph", ["torch-cpu", "'graph'", "eager, compiled"]),
        ("torch-cuda:device=first", ["device", "'first'"]),
        ("torch-cuda:numeric=fp8", ["ieee or tf32", "'fp8'"]),
        ("torch-cuda:execution=eager+magic", ["'magic'", "channels_last"]),
        ("onnxruntime-cuda:cpu_nodes=maybe", ["refused or allowed", "'maybe'"]),
        ("onnxruntime-abacus", ["onnxruntime-abacus", "onnxruntime-cpu"]),
        ("fake:step", ["step=16", "'step'"]),
        ("fake:=3", ["step=16"]),
        ("fake:step=many", ["step", "'many'"]),
    ],
)
def test_one_sentence_for_what_cannot_be_opened(text: str, words: list[str]) -> None:
    with pytest.raises(BackendError) as caught:
        open_backend(text)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words)


def test_backends_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, foreign=f"{__name__}:Foreign")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Foreign.__module__])
    assert backend_names() == sorted([*registry.BUILT_IN, *registry.OF_FAMILIES, "foreign"])
    backend = open_backend("foreign:anything=1")
    assert isinstance(backend, Foreign)
    assert backend.options == {"anything": "1"}


@pytest.mark.parametrize("value", ["no_such_module_anywhere:X", "json:NoSuchClass"])
def test_a_backend_that_cannot_be_imported(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(monkeypatch, foreign=value)
    with pytest.raises(BackendError, match="'foreign' cannot be imported: "):
        open_backend("foreign")


def test_a_built_in_one_whose_library_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "rankwise.backends.onnxruntime_providers", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"'onnxruntime-cpu' cannot be imported: .*onnxruntime"):
        open_backend("onnxruntime-cpu")


def test_families_share_libraries() -> None:
    assert family_of("torch-cuda") == family_of("torch-cpu") == "torch"
    assert family_of("onnxruntime-anything") == "onnxruntime"
    assert family_of("their-own") == "their-own"


def test_a_family_lists_what_its_runtime_has() -> None:
    assert "onnxruntime-cpu" in found_in_family("onnxruntime")
    assert found_in_family("torch") == []


def test_a_provider_without_a_line_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["AbacusExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: found)
    assert found_in_family("onnxruntime") == ["onnxruntime-abacus", "onnxruntime-cpu"]
    backend = open_backend("onnxruntime-abacus")
    assert backend.name == "onnxruntime-abacus"
    assert backend.probe() == ""


def test_only_the_chosen_backend_is_imported() -> None:
    code = """
import json, sys
from rankwise.backends.registry import backend_names, open_backend
backend_names(), open_backend("fake").fingerprint()
heavy = ("torch", "onnx", "onnxruntime", "openvino")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == []
