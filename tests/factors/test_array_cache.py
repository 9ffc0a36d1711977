"""A folder of arrays: whole files or none, and what is damaged counts as not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rankwise.errors import StoreError
from rankwise.factors.array_cache import ArrayCache


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(tmp_path / "cache")


def test_what_is_written_is_read(cache: ArrayCache) -> None:
    arrays = {"a": np.arange(3), "b": np.ones((2, 2), np.float32)}
    cache.write("thing", ["x", 1], arrays)
    found = cache.read("thing", ["x", 1])
    assert found is not None
    assert set(found) == {"a", "b"}
    np.testing.assert_array_equal(found["b"], arrays["b"])
    assert cache.read("thing", ["x", 2]) is None
    assert not cache.has("thing", ["x", 2])
    assert [path.suffix for path in cache.folder.iterdir()] == [".safetensors"]


def test_a_damaged_file_counts_as_not_there(cache: ArrayCache) -> None:
    cache.write("thing", 1, {"a": np.arange(100)})
    path = cache.path("thing", 1)
    assert cache.has("thing", 1)
    whole = path.read_bytes()
    for damaged in (whole[:-8], whole[:50], b""):
        path.write_bytes(damaged)
        assert cache.read("thing", 1) is None
        assert not cache.has("thing", 1)
    cache.write("thing", 1, {"a": np.arange(100)})
    assert cache.has("thing", 1)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"file/cache cannot be written to .*make room"):
        ArrayCache(tmp_path / "file" / "cache").write("thing", 1, {"a": np.arange(3)})


def test_a_write_that_fails_leaves_nothing(cache: ArrayCache) -> None:
    with pytest.raises(Exception, match="object"):
        cache.write("thing", 1, {"a": np.array([object()])})
    assert list(cache.folder.iterdir()) == []
