"""A client of the service: what the command line's `--server URL` uses.

client = Client("http://device.lab:8765")      # the token comes from RANKWISE_TOKEN
network = client.upload_network("net.onnx")
client.wait(client.submit("profile", network=network["id"], backend="onnxruntime-cpu"))
table = client.table(network=network["sha256"])
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from .. import documents
from ..errors import RankwiseError, UsageError
from ..files import atomic_write
from ..jobs.requests import JOB_TYPES, JobKind
from ..reporter import Reporter, Silent
from .settings import TOKEN_VARIABLE

Json = dict[str, Any]

PAGE = 1000
TIMEOUT_S = 60.0
"""Without a byte that comes or goes."""
READ_BYTES_PER_S = 1 << 20
"""After the last byte of a file the service reads what has come before it answers: at least so
fast."""
ATTEMPTS = 20
"""Times in a row that the stream of a job's events may break before the client gives up: a
service that is restarted goes on with its jobs."""
PAUSE_S = 1.0


class ServiceError(RankwiseError):
    """The service cannot be reached, or failed."""


class Client:
    """Talks to one service. Methods raise `UsageError` with the service's own sentence for what
    it refuses, `ServiceError` if it cannot be reached."""

    def __init__(
        self, url: str, token: str | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        token = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is no address of a service; write http://HOST:PORT")
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=TIMEOUT_S,
            transport=transport,
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Things

    def devices(self) -> documents.Devices:
        return documents.Devices.model_validate(self._get("/devices"))

    def fleet(self, device: str | None = None) -> documents.Fleet:
        """The devices of the service's fleet, or those that a query such as `label=lab-a` fits."""
        return documents.Fleet.model_validate(self._get("/fleet", {"device": device}))

    def release(self, device_id: str) -> documents.Fleet:
        """Let a device of the fleet out of quarantine; the device as it is then."""
        return documents.Fleet.model_validate(self._json("POST", f"/fleet/{device_id}/release"))

    def networks(self) -> list[Json]:
        return self._all("/networks")

    def upload_network(
        self,
        path: str | Path,
        *,
        architecture: str | None = None,
        input_shape: str | None = None,
        inputs: Sequence[str] = (),
    ) -> Json:
        """Upload an `.onnx` file, or `.safetensors` weights for an architecture of the zoo.
        `inputs` are texts as `--input` takes them."""
        query = {"architecture": architecture, "input_shape": input_shape, "input": list(inputs)}
        return self._upload("/networks", Path(path), query)

    def upload_calibration(self, path: str | Path) -> Json:
        """Upload an `.npz`, a `.zip` of pictures, or a folder of pictures."""
        return self._upload("/calibrations", Path(path), {})

    def layers(self, network: str) -> documents.Layers:
        return documents.Layers.model_validate(self._get(f"/networks/{network}/layers"))

    # Jobs

    def submit(self, kind: JobKind, **request: Any) -> Json:
        """Ask for a job. The same request as one that waits or runs gives that job."""
        return self._json("POST", JOB_TYPES[kind].path, json=_given(request))

    def job(self, job_id: str) -> Json:
        return self._get(f"/jobs/{job_id}")

    def cancel(self, job_id: str) -> Json:
        return self._json("POST", f"/jobs/{job_id}/cancel")

    def resume(self, job_id: str) -> Json:
        return self._json("POST", f"/jobs/{job_id}/resume")

    def events(self, job_id: str) -> Iterator[Json]:
        """The job, now and whenever it changes, until it has ended or the stream breaks."""
        with self._http.stream("GET", f"/jobs/{job_id}/events") as response:
            _require_success(response)
            for line in response.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def wait(self, job: Json, reporter: Reporter | None = None) -> Json:
        """The result of a job, once it is done. Raises `UsageError` if it failed or was
        cancelled; a stream that breaks is taken up again."""
        said, broken = reporter or Silent(), 0
        while True:
            try:
                for now in self.events(job["id"]):
                    job, broken = now, 0
                    _tell(said, job)
            except (httpx.HTTPError, ServiceError) as error:
                broken += 1
                if broken > ATTEMPTS:
                    raise ServiceError(f"{self.url} is gone: {error}") from error
            if job["state"] not in ("queued", "running"):
                return _result(job)
            time.sleep(PAUSE_S)

    # Results

    def table(self, **filters: str | None) -> documents.Table:
        """All rows that fit; filters: network (a SHA-256), device, layer, phase, dtype,
        verdict."""
        rows: list[documents.Row] = []
        while True:
            query = {**filters, "limit": str(PAGE), "offset": str(len(rows))}
            part = documents.Table.model_validate(self._get("/tables", query))
            rows += part.rows
            if len(part.rows) < PAGE:
                return part.model_copy(update={"rows": rows})

    def plan(self, key: str) -> documents.Plan:
        return documents.Plan.model_validate(self._get(f"/plans/{key}"))

    def put_plan(self, plan: documents.Plan) -> str:
        """Give the service a plan that it has not made; its key. The network must be there."""
        body = plan.model_dump(mode="json")
        return str(self._json("POST", "/plans/documents", json=body)["key"])

    def plans(self, network: str | None = None) -> list[Json]:
        return self._all("/plans", {"network": network})

    def verifications(self, plan: str) -> list[Json]:
        return self._all("/verifications", {"plan": plan})

    def download_applied(self, applied_id: str, output: str | Path) -> Path:
        """Write a compressed network to a file, whole or not at all."""
        output, path = Path(output), f"/applied/{applied_id}/file"
        with (
            self._reached(),
            atomic_write(output) as temporary,
            self._http.stream("GET", path) as response,
            temporary.open("wb") as file,
        ):
            _require_success(response)
            for chunk in response.iter_bytes():
                file.write(chunk)
        return output

    # HTTP

    def _get(self, path: str, query: Mapping[str, str | None] | None = None) -> Json:
        return self._json("GET", path, params=_given(query))

    def _all(self, path: str, query: Mapping[str, str | None] | None = None) -> list[Json]:
        items: list[Json] = []
        while True:
            part = {**(query or {}), "limit": str(PAGE), "offset": str(len(items))}
            page = self._get(path, part)
            items += page["items"]
            if len(items) >= page["total"] or not page["items"]:
                return items

    def _upload(self, path: str, file: Path, query: Mapping[str, Any]) -> Json:
        if file.is_dir():
            return self._upload_folder(path, file)
        if not file.is_file():
            raise UsageError(f"there is no file {file}")
        size = file.stat().st_size
        with file.open("rb") as stream:
            return self._json(
                "POST",
                path,
                params=_given({**query, "name": file.name}),
                content=stream,
                headers={
                    "content-type": "application/octet-stream",
                    "content-length": str(size),
                },
                timeout=httpx.Timeout(TIMEOUT_S, read=TIMEOUT_S + size / READ_BYTES_PER_S),
            )

    def _upload_folder(self, path: str, folder: Path) -> Json:
        with tempfile.TemporaryDirectory(prefix="rankwise-") as place:
            packed = Path(place) / f"{folder.name or 'pictures'}.zip"
            with zipfile.ZipFile(packed, "w") as archive:
                for file in sorted(folder.rglob("*")):
                    if file.is_file() and not file.name.startswith("."):
                        archive.write(file, file.relative_to(folder))
            return self._upload(path, packed, {})

    def _json(self, method: str, path: str, **more: Any) -> Json:
        with self._reached():
            response = self._http.request(method, path, **more)
        _require_success(response)
        answer: Json = response.json()
        return answer

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise ServiceError(f"{self.url} cannot be reached: {error}") from error


def _given(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _require_success(response: httpx.Response) -> None:
    if not response.is_error:
        return
    response.read()
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"status {response.status_code}"
    if response.is_client_error:
        raise UsageError(f"the service says: {detail}")
    raise ServiceError(f"the service failed: {detail}")


def _tell(reporter: Reporter, job: Json) -> None:
    progress = job["progress"]
    if progress["total"]:
        reporter.progress(progress["done"], progress["total"], progress["text"])


def _result(job: Json) -> Json:
    if job["state"] == "done":
        result: Json = job["result"]
        return result
    raise UsageError(f"the {job['kind']} job {job['state']}: {job['error']}")
