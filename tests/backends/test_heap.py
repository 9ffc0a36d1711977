"""Measuring processes keep their memory, unless the user has said otherwise."""

import pytest

from rankwise.backends import heap
from rankwise.backends.torch_cpu import TorchCpuBackend


def test_a_process_that_measures_keeps_its_heap_and_the_rest_of_its_environment() -> None:
    made = heap.keeping({"HOME": "/h"})
    assert made == {"HOME": "/h", **heap.KEPT}


@pytest.mark.parametrize("name", ["LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX"])
def test_what_the_user_set_stays(name: str) -> None:
    own = {name: "x"}
    assert heap.keeping(own) == own
    assert heap.described(own) == f"{name}=x"


def test_parent_and_measuring_process_describe_the_same() -> None:
    assert heap.described({}) == heap.described(heap.keeping({}))


def test_the_fingerprint_names_it() -> None:
    assert TorchCpuBackend().device.software()["heap"] == heap.described()
