"""Which board measures: read from whatever tells machines apart, and hashed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankwise.backends.boards import NUMBERS, board_id, board_of, host_board
from rankwise.backends.fake import FakeBackend
from rankwise.backends.registry import open_backend

TREE, MACHINE, _, FIRMWARE = NUMBERS
NUMBER = "4c4c4544-0051-3510-8052-b4c04f4a3233"


def machine(root: Path, **numbers: str) -> Path:
    for name, text in numbers.items():
        file = root / {"tree": TREE, "machine": MACHINE, "firmware": FIRMWARE}[name]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_a_number_is_hashed(tmp_path: Path) -> None:
    found = host_board(machine(tmp_path, firmware=f"{NUMBER.upper()}\n"))
    assert found == board_id("host", NUMBER)
    assert NUMBER[:8] not in str(found)


def test_what_everybody_can_read_comes_first(tmp_path: Path) -> None:
    """Root would else see another board than the rest."""
    root = machine(tmp_path, firmware=NUMBER, machine="c0ffee" * 5)
    assert host_board(root) == board_id("host", "c0ffee" * 5)


def test_boards_written_from_one_image_differ(tmp_path: Path) -> None:
    roots = [
        machine(tmp_path / n, tree=f"1000000{n}\0", machine="a" * 32 + "\n") for n in ("1", "2")
    ]
    assert host_board(roots[0]) != host_board(roots[1])


@pytest.mark.parametrize("text", ["", "uninitialized\n", "0" * 32, "To Be Filled By O.E.M.\n"])
def test_no_number_is_no_board(text: str, tmp_path: Path) -> None:
    assert host_board(machine(tmp_path, machine=text, tree=text)) is None


def test_a_place_in_a_machine_without_a_number_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rankwise.backends import boards

    monkeypatch.setattr(boards, "host_board", lambda: None)
    assert boards.place_on_host("npu", 0) is None
    monkeypatch.setattr(boards, "host_board", lambda: "here")
    assert boards.place_on_host("npu", 0) != boards.place_on_host("npu", 1)


def test_a_planted_board_is_no_other_device() -> None:
    one, two = open_backend("fake:board=one"), open_backend("fake:board=two,slow=1.05")
    assert one.fingerprint() == two.fingerprint()
    assert board_of(one) != board_of(two)


def test_a_backend_that_does_not_know_has_no_board() -> None:
    class Unknowing(FakeBackend):
        board = None  # type: ignore[assignment]

    assert board_of(open_backend("fake")) is not None
    assert board_of(Unknowing()) is None


@pytest.mark.parametrize("slow", ["0", "-1", "inf", "often"])
def test_nonsense_is_refused(slow: str) -> None:
    with pytest.raises(Exception, match="slow must be"):
        open_backend(f"fake:slow={slow}")
