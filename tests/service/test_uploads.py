"""Files that should not be taken: refused with a sentence, and the disk is as before."""

from __future__ import annotations

import io
import pickle
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save as save_tensors

from rankwise.jobs.artifacts import ZOO_NAMES, ArtifactStore
from rankwise.jobs.uploads import shown_name

GIB = 1 << 30


@pytest.fixture
def refused(service: Any) -> Iterator[Any]:
    """Ask, and hold that nothing was taken."""
    before = service.files()

    def ask(path: str, content: Any, *words: str, status: int = 422, **query: str) -> str:
        answer = service.upload(path, content, **query)
        assert answer.status_code == status, answer.text
        detail = str(answer.json()["detail"])
        assert "\n" not in detail
        assert str(service.folder) not in detail
        for word in words:
            assert word in detail, detail
        return detail

    yield ask
    assert service.files() == before


def test_truncated(refused: Any, model_bytes: bytes) -> None:
    refused("/networks", model_bytes[: len(model_bytes) // 2], "ONNX", name="net.onnx")


@pytest.mark.parametrize("location", ["../../../../etc/passwd", "/etc/passwd", "weights.bin"])
def test_external_data(refused: Any, model_bytes: bytes, location: str) -> None:
    model = onnx.load_model_from_string(model_bytes)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    refused("/networks", model.SerializeToString(), "other files")


def test_external_data_in_an_attribute(refused: Any, model_bytes: bytes) -> None:
    model = onnx.load_model_from_string(model_bytes)
    hidden = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[4])
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=hidden))
    refused("/networks", model.SerializeToString(), "other files")


def test_not_networks(refused: Any) -> None:
    for content in (b"", b"text\n" * 100, pickle.dumps({"a": 1}), b"PK\x03\x04 a .pt2 or .pth"):
        refused("/networks", content, name="net.onnx")
    refused("/networks", b"\x80\x02junk", "safetensors", architecture="resnet18")
    refused("/networks", save_tensors({"a": np.zeros(3)}), "architecture", architecture="os:system")


@pytest.mark.slow
def test_weights_of_another_architecture(refused: Any) -> None:
    weights = save_tensors({"a": np.zeros(3, np.float32)})
    refused("/networks", weights, "another network", architecture="resnet18")


def test_a_constant_that_unpacks_to_terabytes(refused: Any, model_bytes: bytes) -> None:
    """A few bytes that ask for 4 TB: another process is asked, and its memory is bounded."""
    model = onnx.load_model_from_string(model_bytes)
    shape = onnx.numpy_helper.from_array(np.array([1 << 20, 1 << 20]), "huge.shape")
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["huge.shape"], ["huge"]))
    model.graph.node.insert(1, helper.make_node("ReduceSum", ["huge"], ["zero"], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["y", "zero"], ["z"]))
    model.graph.output[0].name = "z"
    refused("/networks", model.SerializeToString())


def npz(**arrays: Any) -> bytes:
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


def test_zip_bombs(refused: Any) -> None:
    bomb = npz(x=np.zeros((40, 3, 512, 512), np.float32))
    assert len(bomb) < 1 << 20
    refused("/calibrations", bomb, "MiB", name="bomb.npz")
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3000):
            archive.writestr(f"{number}.png", b"")
    refused("/calibrations", packed.getvalue(), "more than", name="many.zip")


def test_an_npz_whose_header_lies(refused: Any) -> None:
    honest = io.BytesIO()
    np.lib.format.write_array(honest, np.zeros((4, 3), np.float32))
    lying = honest.getvalue().replace(b"(4, 3)", b"(9, 9)")
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        archive.writestr("x.npy", lying)
    refused("/calibrations", packed.getvalue(), "plain array")
    refused("/calibrations", npz(x=np.array([{}], object)), "plain array")


def test_archives_that_are_none(refused: Any) -> None:
    refused("/calibrations", b"PK\x03\x04 truncated", "neither")
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        archive.writestr("../../evil.png", b"not a picture")
    refused("/calibrations", packed.getvalue(), "no picture")


@pytest.mark.parametrize("declared", [True, False])
def test_two_gigabytes(refused: Any, service: Any, declared: bool) -> None:
    """By what it declares at once, else as soon as it is over the limit; never held in memory."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 2 * GIB:
            sent += 1 << 18
            yield bytes(1 << 18)

    if declared:
        host = urlsplit(service.url)
        with socket.create_connection((str(host.hostname), int(host.port or 0))) as wire:
            wire.sendall(
                b"POST /api/v1/networks HTTP/1.1\r\nhost: 127.0.0.1\r\n"
                b"content-type: application/octet-stream\r\n"
                + f"content-length: {2 * GIB}\r\n\r\n".encode()
            )
            assert b" 413 " in wire.recv(200).splitlines()[0]
        return
    refused("/networks", endless(), "bytes", status=413)
    assert sent < 64 << 20, "most of it was never sent"


@pytest.mark.parametrize("name", ["../../../evil.onnx", "..\\..\\evil.onnx", "/etc/evil.onnx"])
def test_names_are_only_shown(service: Any, model_bytes: bytes, name: str) -> None:
    model = onnx.load_model_from_string(model_bytes)
    model.doc_string = name
    answer = service.upload("/networks", model.SerializeToString(), name=name)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["name"] == "evil.onnx"
    assert f"networks/{made['id']}.onnx" in service.files()
    assert not list(Path(service.folder).rglob("evil*"))
    assert service.http.delete(f"/networks/{made['id']}").status_code == 204
    assert not [f for f in service.files() if made["id"] in f]


def test_shown_names() -> None:
    assert shown_name("a/b\\c.onnx") == "c.onnx"
    assert shown_name("..") == ".."
    assert shown_name("x\n\x00<b>y") == "x<b>y"
    assert shown_name("") == shown_name("dir/") == "unnamed"
    assert len(shown_name("x" * 5000)) <= 100


def test_ids_in_paths_are_only_names(service: Any) -> None:
    for path in ("/networks/..%2F..%2Fetc", "/applied/..%2Fx/file", "/networks/a.json"):
        assert service.http.get(path).status_code in (404, 422)


def test_a_full_library(start: Any, model_bytes: bytes) -> None:
    from rankwise.jobs.uploads import UploadLimits

    service = start(limits=UploadLimits(library_bytes=1000, free_bytes=0))
    for content in (model_bytes, iter([model_bytes])):  # the second does not say how long it is
        answer = service.upload("/networks", content)
        assert answer.status_code == 422
        assert "full" in answer.json()["detail"]
    assert service.files() == set()


def test_the_names_of_the_zoo_are_the_zoo() -> None:
    from rankwise.sources.zoo import ZOO

    assert sorted(ZOO) == list(ZOO_NAMES)


def test_what_a_cut_off_upload_left_is_cleaned_up(tmp_path: Path) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    (artifacts.folder / "incoming" / "half").write_bytes(b"half")
    artifacts.clean()
    assert artifacts.used_bytes() == 0
