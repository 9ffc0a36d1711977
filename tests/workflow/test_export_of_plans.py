"""A store that holds timed whole networks can be exported and imported again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result


@pytest.mark.usefixtures("profiled")
def test_whole_networks_go_along(
    rankwise: Callable[..., Result], network_file: Path, tmp_path: Path
) -> None:
    asked = [network_file, "--backend", "fake:step=16"]
    plan = [
        "plan",
        *asked,
        "--max-error",
        0.4,
    ]
    assert rankwise(*plan, "-o", tmp_path / "one.json").exit_code == 0
    archive, other = tmp_path / "all.zip", f"sqlite:///{tmp_path}/other.db"
    assert rankwise("db", "export", archive).exit_code == 0
    result = rankwise("db", "import", archive, "--db", other)
    assert result.exit_code == 0, result.output
    # Its runs are there, too: nothing is timed, and the plan is the same.
    again = rankwise(*plan, "-o", tmp_path / "two.json", "--db", other)
    assert again.exit_code == 0, again.output
    one, two = ((tmp_path / name).read_text() for name in ("one.json", "two.json"))
    assert _without_time(one) == _without_time(two)


def _without_time(plan: str) -> list[str]:
    return [line for line in plan.splitlines() if '"created_at"' not in line]
