"""`rankwise serve --cluster local`: one machine, its own store, and no scheduler beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rankwise.cli import app
from rankwise.db import Store
from rankwise.service.client import Client

from ..service.conftest import small_model
from .conftest import Lab, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    alone = Lab(tmp_path, f"sqlite:///{tmp_path}/lab.db")
    alone.start_service(cluster="local")
    yield alone
    alone.stop()


def test_this_machine_is_its_own_fleet(lab: Lab, tmp_path: Path) -> None:
    """It offers each backend that works here, and a network need not be sent to it."""
    path = tmp_path / "net.onnx"
    path.write_bytes(small_model().SerializeToString())
    query = "backend=onnxruntime-cpu"
    with Client(lab.url) as client:
        [device] = until(lambda: client.fleet(query).devices, "the device")
        assert "fake" not in {one.backend for one in client.fleet().devices}
    words = ["profile", str(path), "--device", query, "--kinds", "svd", "--rank-quantum", "16"]
    result = CliRunner().invoke(app, [*words, "--json", "--server", lab.url])
    assert result.exit_code == 0, result.output
    [profile] = json.loads(result.stdout)["profiles"].values()
    assert profile["complete"]
    assert profile["measured"] > 0
    with Store.open(lab.db, create=False) as store:
        measured = store.measurements.find()
    keys = {one.fingerprint.hardware_key for one in measured}
    assert keys == {device.fingerprint.hardware_key}
