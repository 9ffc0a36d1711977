"""Standard output is silent inside, whole outside, for C code too."""

from __future__ import annotations

import ctypes
import os

import pytest

from rankwise.search.quiet import silent_output


def test_only_what_is_printed_inside_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with silent_output():
        os.write(1, b"from the file descriptor\n")
        ctypes.CDLL(None).puts(b"from C")
    print("after", flush=True)
    os.write(1, b"and for whoever writes there directly\n")
    assert capfd.readouterr().out == "before\nafter\nand for whoever writes there directly\n"


def test_output_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), silent_output():
        _ = 1 / 0
    print("after")
    assert capfd.readouterr().out == "after\n"
