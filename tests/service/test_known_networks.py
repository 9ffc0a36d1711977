"""What was measured on the command line, into the store of a service, is on its page as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rankwise as rw

from .conftest import FAKE, OCTETS, small_model


@pytest.fixture
def typed(start: Any, tmp_path: Path) -> tuple[Any, Path]:
    """A service, and a network's file that was profiled, of which it has never heard."""
    service, file = start(), tmp_path / "small.onnx"
    file.write_bytes(small_model().SerializeToString())
    rw.profile(str(file), backend=FAKE, db=service.db)
    return service, file


def test_networks_of_the_store_are_shown_with_what_is_known(typed: tuple[Any, Path]) -> None:
    service, file = typed
    [network] = service.http.get("/networks", params={"format": "store"}).json()["items"]
    sha256 = network["sha256"]
    assert (network["name"], network["measured"], network["layers"]) == (str(file), True, 4)
    assert service.http.get(f"/networks/{sha256}").json() == network
    layers = service.http.get(f"/networks/{sha256}/layers").json()["layers"]
    here = rw.layers(str(file)).layers
    assert [(one["name"], one["spec_key"], one["kinds"], one["macs"]) for one in layers] == [
        (one.name, one.spec_key, one.kinds, one.macs) for one in here
    ]
    graph = service.http.get(f"/networks/{sha256}/graph").json()
    assert not graph["known"]
    assert [node["name"] for node in graph["nodes"]] == [one.name for one in here]
    table = service.http.get("/tables/columns", params={"network": sha256}).json()
    assert len(table["columns"]["spec"]) > 0
    refused = service.http.delete(f"/networks/{sha256}")
    assert refused.status_code == 409
    assert "no file here" in refused.json()["detail"]


def test_the_file_takes_the_place_of_what_only_the_store_knew(typed: tuple[Any, Path]) -> None:
    service, file = typed
    sha256 = rw.layers(str(file)).model.sha256
    service.http.post("/networks", content=file.read_bytes(), headers=OCTETS)
    found = service.http.get("/networks").json()["items"]
    assert [one["format"] for one in found if one["sha256"] == sha256] == ["onnx"]


def test_fronts_of_the_command_line_are_kept(typed: tuple[Any, Path], tmp_path: Path) -> None:
    """The page shows them, the report has their picture, and no list of plans holds them."""
    service, file = typed
    front = rw.pareto(str(file), backend=FAKE, points=3, db=service.db)
    [shown] = service.http.get("/fronts", params={"network": front.model.sha256}).json()["items"]
    assert shown["points"] == front.model_dump(mode="json")["points"]
    assert shown["asked"] == {"backend": "fake", "threads": 1, "batch": 1}
    assert service.http.get("/plans").json()["total"] == 0
    assert service.http.get(f"/plans/{shown['key']}").status_code == 404
    plan = rw.plan(str(file), backend=FAKE, max_error=0.9, refine=False, db=service.db)
    rw.write_report(plan, output=tmp_path / "report.html", db=service.db)
    assert "front" in (tmp_path / "report.html").read_text(encoding="utf-8").lower()
