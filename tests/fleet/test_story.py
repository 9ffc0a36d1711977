"""A real cluster on this machine: jobs find their devices, whatever dies."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from rankwise import documents
from rankwise.cli import app
from rankwise.errors import RankwiseError, UsageError
from rankwise.service.client import Client

from ..service.conftest import small_model
from .conftest import Lab, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
OTHER_KIND = "fake:step=16,launch_us=1,gmacs=5"


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
    with working(lab, client, "three", hanging, "hangs", "--hang-after", "1s"):
        job = client.submit("profile", network=network, device="label=hangs", kinds=["svd"])
        with pytest.raises(UsageError, match=r"is in quarantine \(job .* made no progress for 1 s"):
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


@contextmanager
def working(
    lab: Lab, client: Client, name: str, backend: str, label: str, *more: str
) -> Iterator[None]:
    """A worker of that name, with a device of that label that has come, for as long as it takes."""
    lab.start_worker(name, backend, "--label", label, *more)
    try:
        until(lambda: client.fleet(f"label={label}").devices, f"the device of {name}")
        yield
    finally:
        lab.kill(name)


@pytest.fixture(scope="module")
def plain(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The label of a device of another kind, whose worker is Dask's own."""
    words = documented_worker(f"tcp://127.0.0.1:{lab.port}", OTHER_KIND, "lab-c")
    home = str(tmp_path_factory.mktemp("home"))
    lab.start("plain", *words, host="plain", HOME=home, DASK_TEMPORARY_DIRECTORY=home)
    with Client(lab.url) as client:
        until(lambda: client.fleet("label=lab-c").devices, "the plain worker's device")
    yield "lab-c"
    lab.kill("plain")


def documented_worker(scheduler: str, backend: str, label: str) -> list[str]:
    """The command that docs/fleet.md has, for another scheduler and device."""
    text = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^dask worker .*\\\n.*--preload.*$", text, re.MULTILINE)
    words = shlex.split(command.replace("\\\n", " "))
    words[words.index("worker") + 1] = scheduler
    words[words.index("--backend") + 1] = backend
    words[words.index("--label") + 1] = label
    return words


def test_a_plain_dask_worker_does_jobs(client: Client, network: str, plain: str) -> None:
    job = client.submit("profile", network=network, device=f"label={plain}", kinds=["svd"])
    assert client.wait(job)["complete"]
    [device] = client.fleet(f"label={plain}").devices
    assert (device.state, device.backend) == ("idle", OTHER_KIND)
    assert client.job(job["id"])["device"] == device.id


def test_one_plan_for_the_devices_of_queries(
    lab: Lab, client: Client, network: str, plain: str, tmp_path: Path
) -> None:
    """Common to two kinds on two machines; what layers cost the network is asked once."""
    queries = ["label=lab-a", f"label={plain}"]
    for query in queries:
        client.wait(client.submit("profile", network=network, device=query, kinds=["svd"]))
    asked = [word for query in queries for word in ("--device", query)]
    words = ["plan", network, *asked, "--max-error", "0.9", "-o", str(tmp_path / "all.json")]
    result = CliRunner().invoke(app, [*words, "--server", lab.url])
    assert result.exit_code == 0, result.output
    plan = documents.Plan.model_validate_json((tmp_path / "all.json").read_text())
    wanted = [client.fleet(query).devices[0].fingerprint.hardware_key for query in queries]
    assert [one.device.hardware_key for one in plan.on_devices] == wanted
    assert plan.predicted.speedup == min(one.predicted.speedup for one in plan.on_devices)
    for one in plan.on_devices:
        own = tmp_path / f"all.fake-{one.device.hardware_key[:6]}.json"
        alone = documents.Plan.model_validate_json(own.read_text())
        assert alone.predicted.speedup == one.own_speedup
        assert client.plan(one.own_plan).decisions == alone.decisions
    [job] = client._all("/jobs", {"kind": "plan"})  # noqa: SLF001
    told = [one["text"] for one in client.job(job["id"])["progress"]["log"]]
    asked_once = [text for text, _ in groupby(told) if "choices of layers cost" in text]
    assert len(asked_once) == 1, told


@pytest.fixture
def small_disk(lab: Lab, need: Any) -> Iterator[Path]:
    """The folder of worker `four`, on a disk of its own that holds 128 KiB."""
    folder = lab.folder / "kept-four"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    made = subprocess.run(words, check=False, capture_output=True, text=True)
    if made.returncode:
        need("mount", f"a small disk cannot be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_full_fails_the_job_and_leaves_the_device(
    lab: Lab, client: Client, network: str, small_disk: Path, tmp_path: Path
) -> None:
    """The network has 280 KiB, and the next one 40."""
    small = write_one_layer(tmp_path / "small.onnx")
    with working(lab, client, "four", OTHER_KIND, "full", "--host-name", "board-four"):
        job = client.submit("profile", network=network, device="label=full", kinds=["svd"])
        with pytest.raises(RankwiseError, match=r"board-four cannot keep a file .* No space left"):
            client.wait(job)
        assert client.fleet("label=full").devices[0].state == "idle"
        assert not list((small_disk / "incoming").iterdir())
        fits = client.upload_network(small)["id"]
        asked = {"network": fits, "device": "label=full", "kinds": ["svd"]}
        assert client.wait(client.submit("profile", **asked))["complete"]


def write_one_layer(path: Path) -> Path:
    """A linear layer with 100 times 100 weights."""
    weights = np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 100)) for name in ("x", "y")
    ]
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "head")
    graph = helper.make_graph(
        [node], "one", values[:1], values[1:], [numpy_helper.from_array(weights, "w")]
    )
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())
    return path
