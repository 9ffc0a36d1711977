"""A small network in an ONNX file, pictures, and a service on the fake backend."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
import uvicorn
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from rankwise.jobs.uploads import MIB, UploadLimits
from rankwise.service.app import create_app
from rankwise.service.client import Client
from rankwise.service.settings import Settings

FAKE = "fake:step=16"
OCTETS = {"content-type": "application/octet-stream"}


def small_model(seed: int = 0) -> onnx.ModelProto:
    """Three convolutions and a linear layer whose spectra fall, as trained ones do."""
    rng = np.random.default_rng(seed)
    shapes = {"stem": (64, 3, 3, 3), "body": (96, 64, 3, 3), "point": (128, 96, 1, 1)}
    tensors = [numpy_helper.from_array(_falling(rng, s), f"{n}.w") for n, s in shapes.items()]
    tensors.append(numpy_helper.from_array(_falling(rng, (10, 128)), "head.w"))
    nodes, last = [], "x"
    for name, shape in shapes.items():
        pads = [shape[2] // 2] * 4
        nodes.append(helper.make_node("Conv", [last, f"{name}.w"], [name], name, pads=pads))
        nodes.append(helper.make_node("Relu", [name], [f"{name}.r"]))
        last = f"{name}.r"
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head.w"], ["y"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 16, 16))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 10))],
        tensors,
    )
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])


def _falling(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    rows = rng.normal(size=(shape[0], int(np.prod(shape[1:]))))
    u, s, v = np.linalg.svd(rows, full_matrices=False)
    s = s * np.exp(-np.arange(len(s)) / 6)
    return np.ascontiguousarray((u * s @ v).reshape(shape) * 0.3, dtype=np.float32)


def zipped_pictures(count: int = 6) -> bytes:
    rng = np.random.default_rng(0)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(count):
            picture = io.BytesIO()
            coarse = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((48, 48)).save(picture, "PNG")
            archive.writestr(f"{number}.png", picture.getvalue())
    return packed.getvalue()


class Running:
    """A service on its own port, served by a thread."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.db = f"sqlite:///{folder}/lab.db"
        self.app = create_app(Settings(db=self.db, **settings))
        config = uvicorn.Config(
            self.app, port=0, log_level="error", timeout_graceful_shutdown=1, ws="none"
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.02)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=f"{self.url}/api/v1", timeout=180)

    @property
    def artifacts(self) -> Path:
        return self.folder / "lab.service"

    def files(self) -> set[str]:
        """Everything that lies in the artifacts, but for logs and the lock, which come with the
        first job."""
        found = (p for p in self.artifacts.rglob("*") if p.is_file())
        return {
            str(p.relative_to(self.artifacts)) for p in found if p.suffix not in (".log", ".lock")
        }

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.http.post(path, json=body)

    def upload(self, path: str, content: bytes, **query: str) -> httpx.Response:
        return self.http.post(path, content=content, params=query, headers=OCTETS)

    def done(self, response: httpx.Response) -> dict[str, Any]:
        """The job, once it has ended."""
        assert response.status_code in (200, 202), response.text
        job: dict[str, Any] = response.json()
        while job["state"] in ("queued", "running"):
            time.sleep(0.1)
            job = self.http.get(f"/jobs/{job['id']}").json()
        return job

    def stop(self) -> None:
        self.http.close()
        self.server.should_exit = True
        self.thread.join()


LIMITS = UploadLimits(upload_bytes=8 * MIB, unpacked_bytes=16 * MIB, free_bytes=0)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all tests that leave it as they find it."""
    running = Running(tmp_path_factory.mktemp("service"), limits=LIMITS)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def model_bytes() -> bytes:
    """The small network as a file's content."""
    return bytes(small_model().SerializeToString())


@pytest.fixture(scope="session")
def network(service: Running, model_bytes: bytes) -> dict[str, Any]:
    """The small network on the service."""
    answer = service.upload("/networks", model_bytes, name="small.onnx")
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture(scope="session")
def calibration(service: Running) -> dict[str, Any]:
    answer = service.upload("/calibrations", zipped_pictures(), name="pictures.zip")
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture(scope="session")
def profiled(service: Running, network: dict[str, Any]) -> dict[str, Any]:
    """The network, measured."""
    job = service.done(service.post("/profiles", network=network["id"], backend=FAKE))
    assert job["state"] == "done", job
    return network


@pytest.fixture(scope="session")
def planned(
    service: Running, profiled: dict[str, Any], calibration: dict[str, Any]
) -> dict[str, Any]:
    """A finished plan job."""
    job = service.done(
        service.post(
            "/plans",
            network=profiled["id"],
            backend=FAKE,
            max_error=0.2,
            trials=5,
            calibration=calibration["id"],
            preprocess="unit",
        )
    )
    assert job["state"] == "done", job
    return job


@pytest.fixture
def client(service: Running) -> Iterator[Client]:
    with Client(service.url) as one:
        yield one


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start services of a test's own."""
    started: list[Running] = []

    def begin(**settings: Any) -> Running:
        started.append(Running(tmp_path, **settings))
        return started[-1]

    yield begin
    for one in started:
        one.stop()
