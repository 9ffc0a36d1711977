"""Networks and pictures on their way to a worker."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rankwise.errors import UsageError
from rankwise.fleet import parcels
from rankwise.fleet.parcels import File, Parcel, lacking, pieces, put_piece
from rankwise.jobs.artifacts import ArtifactStore, CalibrationEntry, NetworkEntry

NETWORK = NetworkEntry(
    "n1", "net.onnx", "onnx", None, "networks/n1.onnx", 25, None, "ab", (1, 3), {}
)
PICTURES = CalibrationEntry("c1", "photos.zip", "pictures", "calibrations/c1", 2, 8, "2026")


@pytest.fixture
def service(tmp_path: Path) -> ArtifactStore:
    artifacts = ArtifactStore(tmp_path / "service")
    (artifacts.folder / "networks" / "n1.onnx").write_bytes(b"weights " * 3 + b".")
    (artifacts.folder / "calibrations" / "c1").mkdir()
    for name in ("00001.png", "00002.png"):
        (artifacts.folder / "calibrations" / "c1" / name).write_text(name)
    (artifacts.folder / "calibrations" / "c1" / "00003.png").touch()
    return artifacts


@pytest.fixture
def worker(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "worker")


def parcel_of(service: ArtifactStore) -> Parcel:
    """As it arrives: through JSON."""
    made = Parcel.of(service, [NETWORK], [PICTURES])
    return Parcel.from_json(json.loads(json.dumps(made.to_json())))


def test_what_is_lacking_comes_once_and_whole(
    service: ArtifactStore, worker: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcels, "PIECE_BYTES", 8)
    parcel = parcel_of(service)
    files = lacking(worker, parcel)
    assert [file.path for file in files] == [
        "networks/n1.onnx",
        *(f"calibrations/c1/0000{n}.png" for n in (1, 2, 3)),
    ]
    assert not worker.calibrations(), "what describes them comes last"
    sent = [piece for file in files for piece in pieces(service.folder, file)]
    for piece in sent:
        put_piece(worker, piece)
    put_piece(worker, sent[0])  # again, after an answer that was lost
    assert lacking(worker, parcel) == []
    assert worker.network("n1") == NETWORK
    assert worker.calibrations() == [PICTURES]
    for file in files:
        assert (worker.folder / file.path).read_bytes() == (service.folder / file.path).read_bytes()
    assert not list((worker.folder / "incoming").iterdir())


def test_what_did_not_arrive_as_it_was_sent_is_not_there(
    service: ArtifactStore, worker: ArtifactStore
) -> None:
    [file, *_] = parcel_of(service).files
    wrong = replace(file, sha256="0" * 64)
    [piece] = pieces(service.folder, wrong)
    with pytest.raises(UsageError, match="did not arrive as it was sent"):
        put_piece(worker, piece)
    assert file in lacking(worker, parcel_of(service))
    assert not list((worker.folder / "incoming").iterdir())


def test_what_a_full_disk_did_not_take_makes_room(
    service: ArtifactStore, worker: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next file may be smaller."""
    monkeypatch.setattr(parcels, "PIECE_BYTES", 8)
    [file, *_] = parcel_of(service).files
    first, second, *_ = pieces(service.folder, file)
    put_piece(worker, first)
    with monkeypatch.context() as full:
        full.setattr(parcels.base64, "b64decode", _no_space)
        with pytest.raises(OSError, match="No space left"):
            put_piece(worker, second)
    assert not list((worker.folder / "incoming").iterdir())


def _no_space(_data: str) -> bytes:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("path", ["../x", "networks/../../x", "/etc/passwd", "logs/x"])
def test_nothing_is_put_elsewhere(worker: ArtifactStore, path: str) -> None:
    file = File(path, "0" * 64, 1)
    with pytest.raises(UsageError, match="no place of a network"):
        put_piece(worker, json.dumps({"file": asdict(file), "offset": 0, "data": "AA=="}))


def test_layers_stay_with_the_service(service: ArtifactStore, worker: ArtifactStore) -> None:
    """Those of a large network would be most of a task; a worker in the service's own folder leaves
    them alone."""
    layers = {"layers": [{"name": f"layer{number}"} for number in range(10_000)]}
    whole = replace(NETWORK, layers=layers, graph={"nodes": [1]})
    service.put(whole)
    sent = Parcel.of(service, [whole], [])
    assert len(json.dumps(sent.to_json())) < 1000
    for file in sent.files:
        for piece in pieces(service.folder, file):
            put_piece(worker, piece)
    for artifacts in (service, worker):
        assert lacking(artifacts, Parcel.from_json(json.loads(json.dumps(sent.to_json())))) == []
    assert service.network("n1") == whole
    kept = worker.network("n1")
    assert (kept.layers, kept.sha256) == ({}, whole.sha256), "nobody reads them once more"


def test_a_network_of_the_zoo_has_no_file(service: ArtifactStore, worker: ArtifactStore) -> None:
    parcel = Parcel.of(service, [service.network("resnet18")], [])
    assert lacking(worker, parcel) == []
    assert worker.network("resnet18") == service.network("resnet18")
