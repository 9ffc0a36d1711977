"""The command line with `--server`: the same commands, the same documents, done elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from typer.testing import CliRunner, Result

from rankwise import documents
from rankwise.cli import app
from rankwise.errors import UsageError
from rankwise.service import Client
from rankwise.service.client import READ_BYTES_PER_S, TIMEOUT_S, ServiceError

FAKE = "fake:step=16"


@pytest.fixture
def rankwise(service: Any) -> Any:
    def call(*words: object, status: int = 0) -> Result:
        result = CliRunner().invoke(app, [*map(str, words), "--server", service.url])
        assert result.exit_code == status, result.output
        return result

    return call


def test_the_whole_story(
    rankwise: Any, profiled: dict[str, Any], model_bytes: bytes, tmp_path: Path
) -> None:
    net, plan, smaller = tmp_path / "net.onnx", tmp_path / "plan.json", tmp_path / "out.onnx"
    net.write_bytes(model_bytes)
    document = documents.Profile.model_validate_json(
        rankwise("profile", net, "--backend", FAKE, "--json").stdout
    )
    assert document.measured == 0, "it was there"
    table = documents.Table.model_validate_json(
        rankwise("table", "--model", profiled["sha256"][:12], "--json").stdout
    )
    assert len(table.rows) == document.candidates
    assert "FASTER" in rankwise("table", "--format", "markdown").stdout

    words = ["plan", net, "--backend", FAKE, "--max-error", 0.3, "--trials", 2, "-o", plan]
    rankwise(*words)
    made = documents.Plan.model_validate_json(plan.read_text())
    assert any(layer.decomposition.kind != "original" for layer in made.layers)
    rankwise("apply", plan, net, "-o", smaller)
    onnx.checker.check_model(str(smaller), full_check=True)
    verified = json.loads(rankwise("verify", plan, net, "--json").stdout)
    documents.VerificationDocument.model_validate(verified)
    noted = documents.Plan.model_validate_json(plan.read_text())
    assert noted.verified is not None
    assert noted.verified.speedup == verified["speedup"]
    assert not list(tmp_path.glob("*.db")), "nothing was done here"


def test_layers(rankwise: Any, tmp_path: Path, model_bytes: bytes) -> None:
    (tmp_path / "net.onnx").write_bytes(model_bytes)
    found = documents.Layers.model_validate_json(
        rankwise("layers", tmp_path / "net.onnx", "--json").stdout
    )
    assert [layer.name for layer in found.layers] == ["stem", "body", "point", "head"]


def test_layers_with_the_ranks_of_a_rule(rankwise: Any, tmp_path: Path, model_bytes: bytes) -> None:
    """As a job, because singular values take long; the same ranks as here."""
    (tmp_path / "net.onnx").write_bytes(model_bytes)
    words = ["layers", tmp_path / "net.onnx", "--ranks", "energy", "--threshold", 0.5, "--json"]
    there = documents.Layers.model_validate_json(rankwise(*words).stdout)
    here = documents.Layers.model_validate_json(
        CliRunner().invoke(app, list(map(str, words))).stdout
    )
    assert there.ranking == here.ranking
    assert [layer.ranked for layer in there.layers] == [layer.ranked for layer in here.layers]
    assert any(layer.ranked for layer in there.layers)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("layers", "os:system"), "zoo name"),
        (("layers", "resnet18", "--weights", "x.pth"), ".safetensors only"),
        (("layers", "nosuch.onnx"), "nosuch.onnx"),
        (("profile", "resnet18", "--backend", "abacus"), "abacus"),
        (("table", "--model", "nosuch"), "nosuch"),
    ],
)
def test_what_a_service_does_not_take(rankwise: Any, words: Any, said: str) -> None:
    output = rankwise(*words, status=2).output
    assert said in output
    assert "Traceback" not in output


def test_no_service_there() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServiceError, match="reached"):
        client.networks()
    with pytest.raises(UsageError, match="http://HOST:PORT"):
        Client("lab:8765")


def test_a_large_file_has_longer_to_be_read(tmp_path: Path) -> None:
    """No limit while bytes flow; after the last one the service has to read what came."""
    given = {}

    def answer(request: httpx.Request) -> httpx.Response:
        given[len(request.content)] = request.extensions["timeout"]
        return httpx.Response(200, json={"id": "n"})

    with Client("http://lab", transport=httpx.MockTransport(answer)) as client:
        for size in (1, 64 * READ_BYTES_PER_S):
            with (tmp_path / "net.onnx").open("wb") as file:
                file.truncate(size)
            client.upload_network(tmp_path / "net.onnx")
    assert {one["write"] for one in given.values()} == {TIMEOUT_S}
    assert given[1]["read"] == pytest.approx(TIMEOUT_S, abs=1)
    assert given[64 * READ_BYTES_PER_S]["read"] == TIMEOUT_S + 64


def test_commands_keep_their_options_and_help() -> None:
    shown = CliRunner().invoke(app, ["profile", "--help"]).output
    for option in ("--backend", "--max-time", "--server", "--json"):
        assert option in shown


def test_the_report_of_a_plan_in_a_file(
    service: Any, planned: dict[str, Any], tmp_path: Path
) -> None:
    key = planned["result"]["plan"]
    with Client(service.url) as client:
        plan = client.plan(key)
    assert "Predicted against measured" in service.http.get(f"/plans/{key}/report").text
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    words = ["report", "plan.json", "-o", "b.html"]
    for db, told in ((service.db, "svd"), ("nosuch.db", "are not in the store")):
        result = CliRunner().invoke(app, [*words, "--db", db])
        assert result.exit_code == 0, result.output
        assert told in (tmp_path / "b.html").read_text()
