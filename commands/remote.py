"""`--server URL`: the same commands, done by a service."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GoalNotReached, UsageError
from .errors import command, reporter, show
from .options import parse_duration, parse_shape

if TYPE_CHECKING:
    from ..service import Client

Server = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Let a service do it; its token is in RANKWISE_TOKEN."),
]


def served(function: Callable[..., None]) -> Callable[..., None]:
    """The command with an option `--server`, with which a service does the work."""
    signature = inspect.signature(function, eval_str=True)
    extra = inspect.Parameter(
        "server", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Server
    )

    @functools.wraps(function)
    def either(*, server: str | None, **given: Any) -> None:
        if server is None:
            function(**given)
            return
        with command(given.get("debug", False)):
            try:
                from ..service import Client
            except ModuleNotFoundError as error:
                raise UsageError(
                    f"--server needs {error.name}: pip install 'rankwise[service]'"
                ) from None
            with Client(server) as client:
                REMOTE[function.__name__](client, given)

    parameters = [*signature.parameters.values(), extra]
    either.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    either.__annotations__ = {p.name: p.annotation for p in parameters}
    del either.__wrapped__
    return either


Given = dict[str, Any]


def _network(client: Client, given: Given) -> str:
    """The id of MODEL on the service; files are uploaded."""
    model, weights = given["model"], given.get("weights")
    shape = given.get("input_shape")
    parse_shape(shape)
    if weights is not None:
        if weights.suffix != ".safetensors":
            raise UsageError("a service takes weights as .safetensors only")
        return str(client.upload_network(weights, architecture=model, input_shape=shape)["id"])
    if model.lower().endswith(".onnx"):
        return str(client.upload_network(Path(model), input_shape=shape)["id"])
    known = {entry["id"]: entry["id"] for entry in client.networks()}
    if model not in known:
        raise UsageError(
            f"a service takes an .onnx file, a zoo name, or the id of a network that it has, not "
            f"{model!r}"
        )
    return str(model)


def _calibration(client: Client, given: Given, name: str = "calibration") -> str | None:
    path = given.get(name)
    return None if path is None else str(client.upload_calibration(path)["id"])


def _done(client: Client, kind: str, **request: Any) -> dict[str, Any]:
    return client.wait(client.submit(kind, **request), reporter())


def devices(client: Client, given: Given) -> None:
    from ..documents import Devices

    show(Devices.model_validate(_done(client, "devices")), given["json"])


def layers(client: Client, given: Given) -> None:
    show(client.layers(_network(client, given)), given["json"])


def profile(client: Client, given: Given) -> None:
    from ..documents import Profile

    names = ("backend", "batch", "threads", "rank_quantum", "interval", "refresh")
    more = ("retry_failed", "phase", "dtype")
    found = _done(
        client,
        "profile",
        network=_network(client, given),
        kinds=given["kinds"].split(",") if given["kinds"] else None,
        max_time_s=parse_duration(given["max_time"]),
        **{name: given[name] for name in (*names, *more)},
    )
    document = Profile.model_validate(found)
    show(document, given["json"])
    if not document.complete:
        raise typer.Exit(1)


def table(client: Client, given: Given) -> None:
    from ..documents import Table
    from ..report.formats import write_table

    network = _sha256(client, given["model"])
    found = [
        client.table(network=network, device=device, layer=given["layer"], phase=given["phase"])
        for device in given["device"] or [None]
    ]
    document = Table(rows=[row for one in found for row in one.rows], failures=found[0].failures)
    format = "json" if given["json"] else given["format"]
    write_table(document, format, given["output"], sys.stdout)


def _sha256(client: Client, model: str | None) -> str | None:
    """Of the network with that name, id, or beginning of the hash."""
    if model is None:
        return None
    shown = Path(model).name
    for entry in client.networks():
        sha256 = entry["sha256"] or ""
        if entry["id"] == model or entry["name"] == shown or (sha256 and sha256.startswith(model)):
            return sha256 or None
    raise UsageError(f"the service has no network {model!r}")


def plan(client: Client, given: Given) -> None:
    from ..documents.plan_files import write_plan

    names = ("backend", "max_error", "target_speedup", "max_params", "batch", "threads")
    more = ("preprocess", "trials", "sampler", "refine", "seed")
    found = _done(
        client,
        "plan",
        network=_network(client, given),
        calibration=_calibration(client, given),
        **{name: given[name] for name in (*names, *more)},
    )
    document = client.plan(found["plan"])
    write_plan(document, given["output"])
    show(document, given["json"])
    if found["shortfall"]:
        raise GoalNotReached(found["shortfall"])


def apply(client: Client, given: Given) -> None:
    output: Path = given["output"]
    for name in ("reestimate_bn", "match_channels"):
        if given[name]:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"a service does not do {option}: leave --server out")
    found = _done(
        client,
        "apply",
        network=_network(client, given),
        plan=_plan(client, given),
        calibration=_calibration(client, given),
        format=output.suffix.removeprefix("."),
    )
    client.download_applied(found["id"], output)
    typer.echo(f"wrote {output}", err=True)


def _plan(client: Client, given: Given) -> str:
    """The key of PLAN on the service, which is given it if it has not made it."""
    from ..documents.plan_files import read_plan

    return client.put_plan(read_plan(given["plan"]))


def verify(client: Client, given: Given) -> None:
    from ..documents import Verification, VerificationDocument
    from ..documents.plan_files import read_plan, write_plan

    found = _done(
        client,
        "verify",
        network=_network(client, given),
        plan=_plan(client, given),
        calibration=_calibration(client, given, "data"),
        backend=given["backend"],
        threads=given["threads"],
    )
    note = found.pop("note")
    found.pop("plan")
    document = read_plan(given["plan"])
    document.verified = Verification.model_validate(found)
    write_plan(document, given["plan"])
    show(VerificationDocument.model_validate(found), given["json"])
    if note:
        raise GoalNotReached(note)


REMOTE: dict[str, Callable[[Client, Given], None]] = {
    function.__name__: function
    for function in (devices, layers, profile, table, plan, apply, verify)
}
