"""`profile --context`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from rankwise import documents


def test_the_table_leaves_empty_what_is_not_the_layers_own(
    rankwise: Callable[..., Result], network_file: Path
) -> None:
    words = ["profile", network_file, "--backend", "fake:step=16", "--context"]
    assert rankwise(*words, "marginal").exit_code == 0
    table = documents.Table.model_validate(json.loads(rankwise("table", "--json").stdout))
    assert {row.policy["context"] for row in table.rows} == {"marginal"}
    for row in table.rows:  # no layer of the small network can follow itself
        assert row.speedup is None
        assert row.latency_s is None
        assert row.saving_s
    assert rankwise("table").exit_code == 0
    refused = rankwise(*words, "in_network")
    assert refused.exit_code == 2
    assert "plan" in refused.output
