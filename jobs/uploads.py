"""Files that came over the network: checked before anything else touches them, then kept.

Each `accept_` takes a file that was received into the artifacts' `incoming` folder and either
moves it to its place, under a name made of its content, or raises `UsageError` with one
sentence; in both cases nothing stays in `incoming`.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from ..clock import now
from ..errors import CalibrationError, ModelError, UsageError, first_line
from .artifacts import ZOO_NAMES, ArtifactStore, CalibrationEntry, NetworkEntry
from .describe_network import describe_apart

MIB = 1 << 20
NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What a service takes. `unpacked_bytes` is what an archive may say it holds."""

    upload_bytes: int = 512 * MIB
    library_bytes: int = 20_480 * MIB
    free_bytes: int = 1024 * MIB
    unpacked_bytes: int = 1024 * MIB
    pictures: int = 2000
    picture_pixels: int = 64_000_000


def shown_name(text: str) -> str:
    """What the user called a file, as a text to show: one line, no folders, not too long."""
    last = text.replace("\\", "/").rpartition("/")[2]
    printable = "".join(c for c in last if c.isprintable()).strip()
    return printable[:NAME_LENGTH] or "unnamed"


def require_room(artifacts: ArtifactStore, limits: UploadLimits, coming_bytes: int) -> None:
    """Raises `UsageError` if the artifacts or the disk would become too full."""
    if coming_bytes > limits.upload_bytes:
        raise UsageError(
            f"uploads may have at most {limits.upload_bytes // MIB} MiB, not "
            f"{coming_bytes // MIB} MiB"
        )
    if artifacts.used_bytes() + coming_bytes > limits.library_bytes:
        raise UsageError("the service's folder is full: delete networks or pictures first")
    if shutil.disk_usage(artifacts.folder).free < coming_bytes + limits.free_bytes:
        raise UsageError("the service's disk is too full for this upload")


def accept_network(
    artifacts: ArtifactStore,
    received: Path,
    name: str,
    architecture: str | None,
    input_shape: Sequence[int] | None,
    inputs: Sequence[tuple[str, tuple[int, ...], str]] = (),
) -> NetworkEntry:
    """An `.onnx` file, or, where an architecture of the zoo is named, `.safetensors` weights."""
    try:
        suffix = _check_network(received, architecture)
        candidate = received.with_suffix(suffix)
        received.rename(candidate)
        received = candidate
        entry = describe_apart(
            NetworkEntry(
                id="",
                name=shown_name(name),
                format="safetensors" if architecture else "onnx",
                architecture=architecture,
                file=f"incoming/{candidate.name}",
                bytes=candidate.stat().st_size,
                added_at=now(),
                sha256=None,
                input_shape=tuple(input_shape) if input_shape else None,
                layers=None,
                inputs=tuple(inputs),
            ),
            artifacts.folder,
        )
        return _keep_network(artifacts, candidate, entry)
    except ModelError as error:
        # the child names the file as it was received
        raise ModelError(str(error).replace(f"incoming/{received.name}", "the file")) from None
    finally:
        received.unlink(missing_ok=True)


def _keep_network(artifacts: ArtifactStore, candidate: Path, entry: NetworkEntry) -> NetworkEntry:
    file = f"networks/{entry.id}{candidate.suffix}"
    candidate.replace(artifacts.folder / file)
    layers = dict(entry.layers or {})
    layers["model"] = {**layers["model"], "source": entry.architecture or file}
    kept = replace(entry, file=file, layers=layers)
    artifacts.put(kept)
    return kept


def _check_network(received: Path, architecture: str | None) -> str:
    """The suffix that the file's content deserves."""
    if architecture is None:
        check_onnx(received)
        return ".onnx"
    if architecture not in ZOO_NAMES:
        raise ModelError(f"the architecture must be one of {', '.join(ZOO_NAMES)}")
    check_safetensors(received)
    return ".safetensors"


def check_onnx(path: Path) -> None:
    """Parses, is valid, and holds all of its weights itself. Raises `ModelError`."""
    import onnx
    from onnx.external_data_helper import uses_external_data

    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except Exception:  # protobuf's exceptions differ between its implementations
        raise ModelError("this is no ONNX file, or only a part of one") from None
    if not model.graph.node:
        raise ModelError("this is no ONNX file, or an empty one")
    for tensor in _tensors(model):
        if uses_external_data(tensor):
            raise ModelError(
                "this ONNX file keeps weights in other files, which are not read here: save it "
                "with its weights inside"
            )
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise ModelError(f"this is no valid ONNX model: {first_line(error)}") from None


def _tensors(message: Any) -> Any:
    """Every tensor of a model, wherever it hangs: initializers, attributes, subgraphs."""
    from google.protobuf.message import Message
    from onnx import SparseTensorProto, TensorProto

    stack: list[Any] = [message]
    while stack:
        one = stack.pop()
        if isinstance(one, TensorProto):
            yield one
            continue
        if isinstance(one, SparseTensorProto):
            yield one.values
            yield one.indices
            continue
        for field, value in one.ListFields():
            if field.message_type is None:
                continue
            stack.extend([value] if isinstance(value, Message) else value)


def check_safetensors(path: Path) -> None:
    """A whole safetensors file: its header's offsets fit its size. Raises `ModelError`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            if not list(file.keys()):
                raise ModelError("this safetensors file holds no tensors")
    except (SafetensorError, OSError, ValueError):
        raise ModelError("this is no safetensors file, or only a part of one") from None


def accept_calibration(
    artifacts: ArtifactStore, received: Path, name: str, limits: UploadLimits
) -> CalibrationEntry:
    """An `.npz` of ready tensors, or a `.zip` of pictures, told apart by what is inside."""
    unpacked = received.with_suffix(".unpacked")
    try:
        with received.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        with _opened(received) as archive:
            members = _members(archive, limits)
            if all(member.filename.endswith(".npy") for member in members):
                content, count = received, max(_npy_rows(archive, member) for member in members)
            else:
                content, count = unpacked, len(members)
                _unpack_pictures(archive, members, unpacked, limits)
        return _keep_calibration(artifacts, content, count, name, digest)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise CalibrationError(f"the archive is damaged: {first_line(error)}") from None
    finally:
        received.unlink(missing_ok=True)
        shutil.rmtree(unpacked, ignore_errors=True)


def _opened(received: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(received)
    except (zipfile.BadZipFile, OSError):
        raise CalibrationError(
            "this is neither an .npz nor a .zip of pictures, or only a part of one"
        ) from None


def _members(archive: zipfile.ZipFile, limits: UploadLimits) -> list[zipfile.ZipInfo]:
    """The files inside, if they are not too many or too large by what the archive declares;
    zipfile never unpacks more than was declared."""
    members = [m for m in archive.infolist() if not m.is_dir() and not _hidden(m.filename)]
    if not members:
        raise CalibrationError("the archive is empty")
    if len(members) > limits.pictures:
        raise CalibrationError(f"the archive holds more than {limits.pictures} files")
    total = sum(member.file_size for member in members)
    if total > limits.unpacked_bytes:
        raise CalibrationError(
            f"the archive says it holds {total // MIB} MiB; at most "
            f"{limits.unpacked_bytes // MIB} MiB are taken"
        )
    return members


def _hidden(name: str) -> bool:
    """What file managers add, as `__MACOSX/._1.png`."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def _npy_rows(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Rows of a plain array whose header says what the archive says of its size."""
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    with archive.open(member) as stream:
        try:
            shape, _, dtype = readers[npy.read_magic(stream)](stream)
        except (ValueError, KeyError):
            raise CalibrationError("the .npz holds something that is no plain array") from None
        header = stream.tell()
    size = math.prod((dtype.itemsize, *shape))
    if dtype.hasobject or dtype.kind not in "fiub" or size + header != member.file_size:
        raise CalibrationError("the .npz holds something that is no plain array of numbers")
    return int(shape[0]) if shape else 1


def _unpack_pictures(
    archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], folder: Path, limits: UploadLimits
) -> None:
    """Write the pictures as `00001.png` ..., whatever they were called."""
    folder.mkdir()
    for number, member in enumerate(members, start=1):
        with archive.open(member) as stream:
            suffix = _picture_suffix(stream, limits)
        with archive.open(member) as stream, (folder / f"{number:05}{suffix}").open("wb") as out:
            shutil.copyfileobj(stream, out)


def _picture_suffix(stream: IO[bytes], limits: UploadLimits) -> str:
    """The suffix for what a file holds: its header is read, too large a picture is refused."""
    from PIL import Image

    formats = {"PNG": ".png", "JPEG": ".jpg", "BMP": ".bmp", "WEBP": ".webp", "PPM": ".ppm"}
    try:
        with Image.open(stream, formats=tuple(formats)) as picture:
            width, height = picture.size
            suffix = formats[str(picture.format)]
    except Exception:  # Pillow's readers raise all kinds for damaged files
        raise CalibrationError(
            "the archive holds a file that is no picture (png, jpeg, bmp, webp, ppm)"
        ) from None
    if width * height > limits.picture_pixels:
        raise CalibrationError(f"the archive holds a picture of {width}x{height}, which is too big")
    return suffix


def _keep_calibration(
    artifacts: ArtifactStore, content: Path, count: int, name: str, digest: str
) -> CalibrationEntry:
    """Move the content to its place: a folder of pictures, or a file of tensors."""
    pictures = content.is_dir()
    file = f"calibrations/{digest}" if pictures else f"calibrations/{digest}.npz"
    size = sum(path.stat().st_size for path in (content.iterdir() if pictures else [content]))
    target = artifacts.folder / file
    if target.is_dir():
        shutil.rmtree(target)
    content.replace(target)
    entry = CalibrationEntry(
        id=digest,
        name=shown_name(name),
        kind="pictures" if pictures else "tensors",
        file=file,
        count=count,
        bytes=size,
        added_at=now(),
    )
    artifacts.put(entry)
    return entry
