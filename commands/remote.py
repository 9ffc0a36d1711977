"""`--server URL`: the same verbs, done by a service. Files go up, results come down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GoalNotReached, UsageError
from ..options.measuring import DevicesOptions, LayersOptions, ProfileOptions, TableOptions
from ..options.networks import ApplyOptions, VerifyOptions
from ..options.option import Crossing, option_fields
from ..options.planning import PlanOptions
from ..options.shared import STORE
from ..options.texts import input_text
from .errors import reporting
from .remote_fleet import profile_all

if TYPE_CHECKING:
    from .. import documents
    from ..jobs.requests import JobKind
    from ..service import Client


def connect(url: str) -> Client:
    """A client of the service at that address."""
    try:
        from ..service import Client
    except ModuleNotFoundError as error:
        raise UsageError(f"--server needs {error.name}: pip install 'rankwise[service]'") from None
    return Client(url)


def request_of(client: Client, options: Any) -> dict[str, Any]:
    """The options as the request of a job: ids stand for files, which go up."""
    from ..documents.plan_files import read_plan

    request: dict[str, Any] = {"network": _network(client, options)}
    for field in option_fields(type(options)):
        value = getattr(options, field.name)
        match field.option.crossing:
            case Crossing.VALUE:
                request[field.name] = value
            case Crossing.CALIBRATION if value is not None:
                request["calibration"] = client.upload_calibration(value)["id"]
            case Crossing.FLEET:
                request["device"] = value
            case Crossing.PLAN:
                request["plan"] = client.put_plan(read_plan(value))
            case Crossing.FORMAT:
                request["format"] = value.suffix.removeprefix(".")
    return {name: value for name, value in request.items() if value is not None}


def _network(client: Client, options: Any) -> str:
    """The id of the model on the service; files are uploaded."""
    model, weights = str(options.model), options.weights
    shape, inputs = _inputs_of(options)
    about: dict[str, Any] = {"input_shape": shape, "inputs": inputs}
    if weights is not None:
        if weights.suffix != ".safetensors":
            raise UsageError("a service takes weights as .safetensors only")
        return str(client.upload_network(weights, architecture=model, **about)["id"])
    there = {entry["id"] for entry in client.networks()}
    if model.lower().endswith(".onnx"):
        if (known := _planned_file(options)) is not None and known in there:
            return known
        return str(client.upload_network(Path(model), **about)["id"])
    if model not in there:
        raise UsageError(
            f"a service takes an .onnx file, a zoo name, or the id of a network that it has, not "
            f"{model!r}"
        )
    asked = getattr(options, "input_shape", None)
    if asked and tuple(asked) != client.layers(model).model.input_shape:
        raise UsageError(
            f"the service has {model} with another input shape than {shape}: leave --input-shape "
            "out, or give the network as a file"
        )
    if getattr(options, "inputs", ()):
        raise UsageError(
            f"the service has {model} with inputs of its own: leave --input out, or give the "
            "network as a file"
        )
    return model


def _inputs_of(options: Any) -> tuple[str | None, list[str]]:
    """The input shape and the inputs that an upload names: those of the options, or of the plan."""
    from ..documents.plan_files import read_plan

    planned = hasattr(options, "plan")
    said = read_plan(options.plan).model if planned else options
    inputs = [(one.name, one.shape, one.dtype) for one in said.inputs] if planned else said.inputs
    shape = None if inputs else said.input_shape
    return ",".join(map(str, shape)) if shape else None, [input_text(*one) for one in inputs]


def _planned_file(options: Any) -> str | None:
    """The hash of the network file where it is the plan's: it keeps what the service knows of its
    inputs, and need not go up again."""
    from ..documents.plan_files import read_plan

    file = Path(options.model)
    if not hasattr(options, "plan") or not file.is_file():
        return None
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return sha256 if sha256 == read_plan(options.plan).model.sha256 else None


def _done(client: Client, kind: JobKind, request: dict[str, Any]) -> dict[str, Any]:
    with reporting() as told:
        return client.wait(client.submit(kind, **request), told)


def _document(client: Client, kind: JobKind, request: dict[str, Any]) -> documents.Document:
    """The document that a job of that kind, whose name is the document's, results in."""
    from .. import documents

    model: type[documents.Document] = getattr(documents, kind.title())
    return model.model_validate(_done(client, kind, request))


def devices(client: Client, _options: DevicesOptions) -> documents.Document:
    """What the service's machine has."""
    return _document(client, "devices", {})


def fleet_devices(
    server: str | None, db: str, release: str | None, typed: Collection[str]
) -> documents.Fleet:
    """The devices of a service's fleet, or of the one whose store that is."""
    if server is None:
        from ..workflow.fleet_devices import fleet_devices

        return fleet_devices(db=db, release=release)
    if "db" in typed:
        raise UsageError(f"{STORE.reason}: leave --db or --server out")
    with connect(server) as client:
        return client.fleet() if release is None else client.release(release)


def layers(client: Client, options: LayersOptions) -> documents.Document:
    """A network's layers at once; ranks, and another batch, are a job's work."""
    request = request_of(client, options)
    if set(request) == {"network"}:
        return client.layers(request["network"])
    return _document(client, "layers", request)


def profile(client: Client, options: ProfileOptions) -> documents.Document:
    """What the service's device has measured; on a fleet, each device that fits measures."""
    from .. import documents

    request = request_of(client, options)
    if options.share:
        return documents.Profile.model_validate(_done(client, "shared_profile", request))
    if options.device is None or options.any:
        return _document(client, "profile", request)
    return profile_all(client, request, options.device)


def table(client: Client, options: TableOptions) -> documents.Table:
    """Rows of the service's store, of each device and each dtype that is named."""
    from ..documents import Table

    network = _sha256(client, options.model)
    same = {"network": network, "layer": options.layer, "phase": options.phase}
    parts = [
        client.table(device=device, dtype=dtype, **same)
        for device in options.devices or (None,)
        for dtype in options.dtypes or (None,)
    ]
    return Table(rows=[row for part in parts for row in part.rows], failures=parts[0].failures)


def _sha256(client: Client, model: str | None) -> str | None:
    """The hash of the network with that name, id, or beginning of the hash."""
    if model is None:
        return None
    shown = Path(model).name
    for entry in client.networks():
        sha256 = entry["sha256"] or ""
        if entry["id"] == model or entry["name"] == shown or (sha256 and sha256.startswith(model)):
            return sha256 or None
    raise UsageError(f"the service has no network {model!r}")


def plan(client: Client, options: PlanOptions) -> documents.Plan:
    """The service's plan, written here, and beside it those of single devices. Raises
    `GoalNotReached` after that, as `plan` does."""
    from ..documents.plan_files import beside, write_plan

    made = _done(client, "plan", request_of(client, options))
    document = client.plan(made["plan"])
    if options.output is not None:
        write_plan(document, options.output)
        for one in document.on_devices:
            if one.own_plan is not None:
                write_plan(client.plan(one.own_plan), beside(options.output, one.device))
    if made["shortfall"]:
        raise GoalNotReached(made["shortfall"], document)
    return document


def apply(client: Client, options: ApplyOptions) -> None:
    """Write the network that the service has compressed."""
    if options.output is not None:
        made = _done(client, "apply", request_of(client, options))
        client.download_applied(made["id"], options.output)


def verify(client: Client, options: VerifyOptions) -> documents.VerificationDocument:
    """The service's verification, noted in the plan's file. Raises as `verify` does."""
    from ..documents import Verification, VerificationDocument
    from ..documents.plan_files import read_plan, write_plan

    result = _done(client, "verify", request_of(client, options))
    note = result.pop("note")
    result.pop("plan")
    document = read_plan(options.plan)
    document.verified = Verification.model_validate(result)
    write_plan(document, Path(str(options.plan)))
    verification = VerificationDocument.model_validate(result)
    if note:
        raise GoalNotReached(note, verification)
    return verification


REMOTE: dict[str, Callable[[Client, Any], Any]] = {
    function.__name__: function
    for function in (devices, layers, profile, table, plan, apply, verify)
}
"""What a service can do, by the verb's name."""
