"""A real cluster on this machine: jobs find their devices, whatever dies."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from typer.testing import CliRunner

from rankwise.cli import app
from rankwise.errors import UsageError
from rankwise.service.client import Client

from ..service.conftest import small_model
from .conftest import Lab, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def network(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    path.write_bytes(small_model().SerializeToString())
    with Client(lab.url) as client:
        return str(client.upload_network(path)["id"])


@pytest.fixture
def devices(client: Client) -> dict[str, Any]:
    """Both devices by label, once they are idle."""
    found = until(lambda: _idle(client), "two idle devices")
    return {one.labels[0]: one for one in found}


def _idle(client: Client) -> list[Any]:
    found = client.fleet().devices
    return found if [one.state for one in found] == ["idle", "idle"] else []


def test_each_device_that_fits_measures(lab: Lab, network: str, devices: dict[str, Any]) -> None:
    """The network goes to each machine once, and only to those that need it."""
    words = ["profile", network, "--device", "backend=fake", "--kinds", "svd", "--json"]
    result = CliRunner().invoke(app, [*words, "--server", lab.url])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["profiles"].keys() == {one.id for one in devices.values()}
    assert all(one["complete"] for one in document["profiles"].values())
    for worker in ("one", "two"):
        assert (lab.folder / f"kept-{worker}" / "networks" / f"{network}.onnx").is_file()
    shown = CliRunner().invoke(app, ["devices", "--fleet", "--server", lab.url])
    assert "2 devices: 2 idle" in shown.output
    assert "lab-a" in shown.output


@pytest.mark.usefixtures("devices")
def test_devices_of_one_kind_share_a_profile(lab: Lab, network: str, client: Client) -> None:
    words = ["profile", network, "--device", "backend=fake", "--share", "--kinds", "tucker2"]
    result = CliRunner().invoke(app, [*words, "--json", "--server", lab.url])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["complete"]
    assert document["part"] is None
    assert document["measured"] == document["candidates"] > 0
    parts = [
        one
        for one in client._all("/jobs", {"state": "done", "kind": "profile"})  # noqa: SLF001
        if one["request"]["part"] is not None
    ]
    assert len(parts) == 8


@pytest.mark.usefixtures("devices")
def test_a_query_that_fits_nothing_is_refused(client: Client, network: str) -> None:
    with pytest.raises(UsageError, match="the fleet has no device that fits label=lab-c"):
        client.submit("profile", network=network, device="label=lab-c")
    with pytest.raises(UsageError, match="the fleet has no device that fits backend=torch-npu"):
        client.submit("profile", network=network, backend="torch-npu")


def test_a_job_outlives_everything_around_it(
    lab: Lab, client: Client, network: str, devices: dict[str, Any]
) -> None:
    """Its process, its worker, the scheduler and the service are killed under it; whoever asked
    has gone long before."""
    device = f"id={devices['lab-a'].id}"
    asked = {"network": network, "device": device, "rank_quantum": 2, "kinds": ["svd"]}
    job = client.submit("profile", **asked)

    def child() -> Any:
        return next(iter(lab.children("one", "rankwise.jobs.job_worker")), None)

    def measures() -> Any:
        return lab.children("one", "rankwise.profiler.worker")

    until(measures, "the first timing")
    child().send_signal(signal.SIGKILL)
    until(lambda: not measures(), "the end of what was killed")
    until(measures, "the second attempt")
    lab.children("one", "spawn_main")[0].send_signal(signal.SIGKILL)
    lab.kill("service")
    lab.kill("scheduler")
    lab.start_scheduler()
    lab.start_service()
    result = client.wait(job)
    assert result["complete"]
    assert [one["id"] for one in client._all("/jobs", {"state": "done", "kind": "profile"})].count(  # noqa: SLF001
        job["id"]
    ) == 1


def test_a_device_that_hangs_goes_into_quarantine_and_comes_back(
    lab: Lab, client: Client, network: str
) -> None:
    # Nobody has measured on its kind; its first timing is the trial when it registers.
    hanging = "fake:step=12,hang_at=2"
    lab.start_worker("three", hanging, "--label", "hangs", "--hang-after", "3s")
    try:
        until(lambda: client.fleet("label=hangs").devices, "the third device")
        job = client.submit("profile", network=network, device="label=hangs", kinds=["svd"])
        with pytest.raises(UsageError, match=r"is in quarantine \(job .* made no progress for 3 s"):
            client.wait(job)
        [device] = client.fleet("label=hangs").devices
        assert (device.state, device.fingerprint.backend) == ("quarantined", "fake")
        late = "a worker that was not seen since it came"
        until(lambda: all(one.seen_s_ago < 12 for one in client.fleet().devices), late)
        with pytest.raises(UsageError, match="no device that fits label=hangs may measure"):
            client.submit("profile", network=network, device="label=hangs")
        assert client.release(device.id).devices[0].state == "idle"
        again = client.submit("profile", network=network, device="label=hangs", kinds=["svd"])
        until(lambda: client.job(again["id"])["state"] == "running", "another try")
        client.cancel(again["id"])
    finally:
        lab.kill("three")
