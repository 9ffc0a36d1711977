"""Calibration from a function: dicts or arrays, of one example or of several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rankwise.errors import CalibrationError
from rankwise.inputs.examples import Examples, NetworkInputs
from rankwise.models.pictures import load_calibration

FUNCTIONS = """
import numpy as np
IDS = np.arange(40).reshape(10, 4) % 9
HALF = np.random.default_rng(0).standard_normal((10, 4, 6)).astype(np.float32)

def at_once():
    return {"ids": IDS, "half": HALF}

def one_by_one():
    for ids, half in zip(IDS, HALF):
        yield {"ids": ids, "half": half}

def in_batches():
    return [{"ids": IDS[:6], "half": HALF[:6]}, {"ids": IDS[6:], "half": HALF[6:]}]

def pictures():
    yield from HALF

def fails():
    raise ValueError("no data here")

def nothing():
    return []

def numbers():
    yield 3

def wrong():
    yield {"ids": IDS}

text = "no function"
"""


@pytest.fixture(autouse=True)
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "given_examples.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))


def inputs() -> NetworkInputs:
    arrays = {"ids": np.zeros((2, 4), np.int64), "half": np.zeros((2, 4, 6), np.float32)}
    return NetworkInputs.of(arrays).limited({"ids": 9})


def test_however_examples_come_they_are_the_same() -> None:
    names = ("at_once", "one_by_one", "in_batches")
    found = [load_calibration(f"given_examples:{name}", None, inputs()) for name in names]
    assert len({one.sha256 for one in found}) == 1
    (first, *_) = found
    assert first.images == 10
    assert isinstance(first.fit, Examples)
    parts = [first.fit, first.select, first.confirm, first.report]
    assert sum(map(len, parts)) == 10


def test_a_file_of_the_same_arrays_is_the_same_calibration(tmp_path: Path) -> None:
    import importlib

    given = importlib.import_module("given_examples").at_once()
    np.savez(tmp_path / "c.npz", **given)
    from_file = load_calibration(tmp_path / "c.npz", None, inputs())
    assert from_file.sha256 == load_calibration("given_examples:at_once", None, inputs()).sha256


def test_plain_arrays_for_one_plain_input() -> None:
    found = load_calibration("given_examples:pictures", None, (1, 4, 6))
    assert found.images == 10
    assert isinstance(found.fit, np.ndarray)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("fails", "given_examples:fails failed: no data here"),
        ("nothing", "gives no examples"),
        ("numbers", "should give dicts with arrays for ids, half, not a int"),
        ("wrong", "there is no array for the network's input 'half'"),
        ("text", "has no callable text"),
        ("missing", "has no callable missing"),
    ],
)
def test_functions_that_do_not_fit(name: str, sentence: str) -> None:
    with pytest.raises(CalibrationError, match=sentence):
        load_calibration(f"given_examples:{name}", None, inputs())


def test_arrays_that_are_the_same_for_all(tmp_path: Path) -> None:
    table = np.arange(5.0, dtype=np.float32)
    shared = NetworkInputs.of({"x": np.zeros((2, 3), np.float32), "table": 0 * table})
    rows = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    np.savez(tmp_path / "with.npz", x=rows, table=table)
    np.savez(tmp_path / "without.npz", x=rows)
    given, own = (load_calibration(tmp_path / n, None, shared) for n in ("with.npz", "without.npz"))
    assert isinstance(given.fit, Examples)
    assert isinstance(own.fit, Examples)
    assert np.array_equal(given.fit.arrays[1], table)
    assert not own.fit.arrays[1].any()
    assert given.sha256 != own.sha256
