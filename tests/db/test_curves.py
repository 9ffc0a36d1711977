"""Cached arrays: what comes back is what was kept, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.db import Store
from rankwise.errors import StoreError
from rankwise.records import Decomposition

ARRAYS = {"errors": np.linspace(1, 0, 9), "ranks": np.arange(9)}


def test_a_curve_comes_back(store: Store) -> None:
    sha256 = store.put_error_curve("weights and moments", ARRAYS, {"kind": "svd"})
    found = store.error_curve("weights and moments")
    assert found is not None
    assert found[1] == {"kind": "svd"}
    assert all(np.array_equal(found[0][name], array) for name, array in ARRAYS.items())
    assert store.error_curve("others") is None
    assert store.put_error_curve("same arrays", ARRAYS, {}) == sha256
    assert len(list(store.cache_folder.iterdir())) == 1
    assert store.check() == []


def test_a_damaged_or_missing_file_is_no_curve(store: Store) -> None:
    sha256 = store.put_error_curve("key", ARRAYS, {})
    path = store.cache_folder / f"{sha256}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert store.error_curve("key") is None
    [problem] = store.check()
    assert problem.startswith("1 files of the cache are damaged")
    assert store.prune("2000-01-01T00:00:00.000Z").cache_files == 1
    assert store.check() == []
    assert store.error_curve("key") is None
    store.put_error_curve("key", ARRAYS, {})
    assert store.error_curve("key") is not None


def test_files_of_nothing_are_named_and_pruned(store: Store) -> None:
    import os

    store.put_error_curve("key", ARRAYS, {})
    stray = store.cache_folder / f"{'0' * 64}.safetensors"
    stray.write_bytes(b"")
    foreign = store.cache_folder / "moments-1.safetensors"
    foreign.write_bytes(b"")
    assert len(store.check()) == 1
    assert store.prune("2000-01-01T00:00:00.000Z").cache_files == 0  # somebody may be writing it
    os.utime(stray, (0, 0))
    assert store.prune("2000-01-01T00:00:00.000Z", dry_run=True).cache_files == 1
    assert stray.exists()
    store.prune("2000-01-01T00:00:00.000Z")
    assert not stray.exists()
    assert foreign.exists()


def test_a_cache_that_cannot_be_written(store: Store) -> None:
    store.cache_folder.write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        store.put_error_curve("key", ARRAYS, {})
    assert store.error_curve("key") is None


def test_sensitivities(store: Store) -> None:
    svd, small = Decomposition("svd", (8,)), Decomposition("svd", (4,))
    found = {("conv1", svd): (0.1, 0.2), ("conv1", small): (0.3, 0.4), ("fc", svd): (0.5, 0.6)}
    store.put_sensitivities("a" * 64, "b" * 64, found)
    store.put_sensitivities("a" * 64, "b" * 64, {("fc", svd): (7.0, 8.0)}, metric="psnr")
    store.put_sensitivities("a" * 64, "c" * 64, {("fc", svd): (9.0, 9.0)})
    assert store.sensitivities("a" * 64, "b" * 64) == found
    store.put_sensitivities("a" * 64, "b" * 64, {("fc", svd): (0.0, 0.1)})
    assert store.sensitivities("a" * 64, "b" * 64)["fc", svd] == (0.0, 0.1)
    assert store.sensitivities("a" * 64, "b" * 64, metric="psnr") == {("fc", svd): (7.0, 8.0)}
    assert store.sensitivities("d" * 64, "b" * 64) == {}
