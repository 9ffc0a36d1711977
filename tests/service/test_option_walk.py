"""Every option of every command that a service can do: with `--server` its value is among the
verb's options on the other side, or it is refused in one sentence. None is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main
from typer.testing import CliRunner, Result

from rankwise import documents
from rankwise.cli import app
from rankwise.commands.remote import REMOTE
from rankwise.jobs.queue import read_request
from rankwise.jobs.requests import JOB_TYPES, bounded
from rankwise.jobs.runner import JobRunner
from rankwise.options.measuring import TableOptions
from rankwise.options.option import Allowed, Crossing, OptionField, option_fields
from rankwise.reporter import Silent
from rankwise.service import tables
from rankwise.service.client import Client
from rankwise.service.context import Context
from rankwise.service.scheduler import Scheduler

from .conftest import Running, small_model, zipped_pictures

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SERVED = [verb.replace("_", "-") for verb in REMOTE]
HERE = {"json", "debug", "server", "format", "draw", "draw_savings"}
HERE |= {"quiet", "verbose", "best", "sort", "verdict", "top", "columns", "by_dtype"}
HERE |= {"fleet", "release"}
"""Parameters that are the command's own: how the document is shown, which devices are meant."""
SAMPLES: dict[str, tuple[str, Any]] = {
    "inputs": ("input=1,3,8,8", "['input=1,3,8,8']"),
    "backend": ("fake:step=2", "fake:step=2"),
    "kinds": ("svd,tucker2", ["svd", "tucker2"]),
    "rank_quantum": ("24", 24),
    "max_time_s": ("10m", 600.0),
    "mode": ("mode1", "mode1"),
    "devices": ("fake", ["fake"]),
    "layer": ("body", "body"),
    "input_shape": ("1,3,16,16", "1,3,16,16"),
    "phase": ("training", "training"),
    "device": ("label=lab", "label=lab"),
    "part": ("2/5", "2/5"),
    "dtypes": ("int8", ["int8"]),
    "in_float": ("body", ["body"]),
}
"""What is written, and what arrives, where the type alone does not say it."""


class ArrivedError(Exception):
    """The request is at the service: nobody is to wait for the job."""


@dataclass
class Lab:
    """A service that takes jobs and does none, and what the client asked of it."""

    service: Running
    network: str
    folder: Path
    jobs: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[dict[str, Any]] = field(default_factory=list)
    tables: list[tuple[Any, ...]] = field(default_factory=list)

    def call(self, *words: object) -> Result:
        for asked in (self.jobs, self.uploads, self.tables):
            asked.clear()
        return CliRunner().invoke(app, [*map(str, words), "--server", self.service.url])

    def words(self, verb: str) -> list[object]:
        """The shortest call of the command."""
        model, plan = self.network, self.folder / "plan.json"
        return {
            "devices": ["devices"],
            "layers": ["layers", model],
            "profile": ["profile", model, "--backend", "fake"],
            "table": ["table"],
            "plan": ["plan", model, "--backend", "fake", "--max-error", 0.3, "-o", "made.json"],
            "apply": ["apply", plan, model, "-o", "out.onnx"],
            "verify": ["verify", plan, model],
        }[verb]

    def given(self) -> dict[str, Any]:
        """The verb's options as the process of the job makes them of the stored request."""
        context: Context = self.service.app.state.context
        record = context.store.jobs.get(self.jobs[-1]["id"])
        runner = JobRunner(self.service.db, context.artifacts, Silent())
        return runner.given(record.kind, read_request(record))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scheduler, "_next", lambda _: None)
        service = Running(folder, max_waiting=1000)
        answer = service.upload("/networks", small_model().SerializeToString(), name="net.onnx")
        lab = Lab(service, answer.json()["id"], folder)
        (folder / "pictures.zip").write_bytes(zipped_pictures(2))
        (folder / "plan.json").write_text(_plan(lab.network).model_dump_json())

        def wait(_client: Client, job: dict[str, Any], _reporter: Any) -> dict[str, Any]:
            lab.jobs.append(job)
            raise ArrivedError

        def upload(_client: Client, path: Path, **more: Any) -> dict[str, Any]:
            lab.uploads.append({"path": path, **more})
            return {"id": lab.network}

        def rows(_store: Any, *asked: Any) -> documents.Table:
            lab.tables.append(asked)
            return documents.Table(rows=[], failures=[])

        patch.setattr(Client, "wait", wait)
        patch.setattr(Client, "upload_network", upload)
        patch.setattr(tables, "stored_table", rows)
        patch.setattr(Context, "measured", lambda *_: True)
        yield lab
        service.stop()


def _plan(network: str) -> documents.Plan:
    """The plainest plan of that network."""
    device = documents.Fingerprint(
        backend="fake", hardware_key="h", software_key="s", hardware={}, software={}
    )
    nothing = dict.fromkeys(
        ("latency_s", "speedup", "speedup_low", "speedup_high", "network_error", "model_error")
    )
    return documents.Plan(
        rankwise_version="0",
        created_at="2026-01-01",
        model=documents.Model(source="net.onnx", sha256=network, input_shape=(1, 3, 16, 16)),
        device=device,
        policies=[{"threads": 1}],
        objective={},
        mode="vanilla",
        rank_selection="search",
        calibration=None,
        layers=[],
        predicted=documents.Predicted(**nothing),
        search=documents.Search(sampler="tpe", trials=0, exact_speedup=None, gap=None, seed=0),
    )


def _fields(verb: str) -> dict[str, OptionField]:
    kinds: dict[str, Any] = dict(JOB_TYPES)
    options = kinds[verb].options if verb in kinds else TableOptions
    return {one.name: one for one in option_fields(options)}


def _walk() -> list[Any]:
    return [
        pytest.param(verb, parameter.name, id=f"{verb} {parameter.name}")
        for verb in SERVED
        for parameter in COMMANDS[verb].params
        if parameter.name != "help"
    ]


def _sample(option: OptionField, folder: Path) -> tuple[list[str], Any]:
    """Words for an option with a value that is not its default, and what is to arrive."""
    if option.hint is bool:
        flags = option.option.flags or (f"{option.flag}/--no-{option.name.replace('_', '-')}",)
        return [flags[0].split("/")[-1 if option.default else 0]], not option.default
    plain = {part for part in (option.hint, *get_args(option.hint)) if part is not type(None)}
    choices = [one for one in option.option.allowed.choices if one != option.default]
    if option.name in SAMPLES:
        text, value = SAMPLES[option.name]
    elif choices:
        text = value = choices[-1]
    elif int in plain:
        text, value = "3", 3
    elif float in plain:
        text, value = "0.25", 0.25
    elif option.option.crossing is Crossing.CALIBRATION:
        text = value = str(folder / "pictures.zip")
    else:
        text = value = "net.onnx" if option.name == "model" else "x.safetensors"
    return [option.flag, text], value


@pytest.mark.parametrize(("verb", "name"), _walk())
def test_it_arrives_or_is_refused(lab: Lab, verb: str, name: str) -> None:
    option = _fields(verb).get(name)
    if name in HERE or (name == "output" and (option is None or verb == "plan")):
        return  # the next test
    if (verb, name) == ("devices", "db"):
        assert "leave --db or --server out" in lab.call("devices", "--fleet", "--db", "x").output
        return
    assert option is not None, "an option of the command that stands in no class"
    if option.option.argument:
        assert lab.call(*lab.words(verb)).exit_code in (0, 1)
        assert name in lab.given() if lab.jobs else verb == "layers"
        return
    words, value = _sample(option, lab.folder)
    words += {
        "device": ["--any"],
        "any": ["--device", "label=lab"],
        "share": ["--device", "label=lab"],
        "input_shape": ["--weights", "x.safetensors"],
        "inputs": ["--weights", "x.safetensors"],
        "calibration": ["--preprocess", "unit"],
    }.get(name, [])
    result = lab.call(*lab.words(verb), *words)
    if option.option.crossing is Crossing.NEVER:
        assert result.exit_code == 2, result.output
        assert f"leave {option.flag} or --server out" in result.output
        assert not lab.jobs
        return
    if name in ("device", "any", "share"):
        assert "this service has no fleet" in result.output
        return
    assert result.exit_code == 0 or isinstance(result.exception, ArrivedError), result.output
    if verb == "table":
        names = ("model", "devices", "layer", "phase", "dtypes")
        arrived = dict(zip(names, lab.tables[-1], strict=True))
        assert arrived[name] == (lab.network if name == "model" else value)
    elif option.option.crossing is Crossing.WITH_NETWORK:
        assert value in map(str, lab.uploads[-1].values())
    elif option.option.crossing is Crossing.CALIBRATION:
        assert len(list(lab.given()[name].iterdir())) == 2
    elif option.option.crossing is Crossing.FORMAT:
        assert lab.jobs[-1]["request"]["format"] == "safetensors"
    else:
        assert lab.given()[name] == value


def test_what_is_used_here(lab: Lab) -> None:
    """How a table is shown, and JSON, are the command's own: no other parameters are."""
    assert lab.call("table", "--json").stdout.startswith("{")
    written = lab.folder / "table.json"
    lab.call("table", "--format", "json", "-o", written)
    assert written.read_text().startswith("{")
    assert "nothing" in lab.call("table", "--draw").output
    for verb in SERVED:
        own = {p.name for p in COMMANDS[verb].params} - set(_fields(verb)) - HERE
        assert own <= {"help", "output", *(["db"] if verb == "devices" else [])}, verb


@pytest.mark.parametrize(
    "verb", sorted({n for n in COMMANDS if n not in SERVED} - {"db", "serve", "worker"})
)
def test_other_verbs_refuse_a_service(lab: Lab, verb: str) -> None:
    words = {
        "explain": [],
        "doctor": [],
        "pareto": ["m", "--backend", "fake"],
        "what-if": ["p"],
        "recover": ["p", "m", "--data", "d", "-o", "o.onnx"],
        "finetune": ["p", "a:b", "-o", "o.onnx"],
        "report": ["p", "-o", "o.html"],
        "tune": ["m", "--backend", "fake"],
    }[verb]
    result = lab.call(verb, *words)
    assert result.exit_code == 2, result.output
    assert f"a service does not do `{verb}`: leave --server out" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mode", "mine.toml"], "--mode"),
        (["--preprocess", "os:system"], "--preprocess"),
        (["--preprocess", "mine.toml"], "imagenet, caffe-bgr, unit"),
        (["--kinds", "../svd"], "--kinds"),
        (["--input-shape", "1,3,8,8"], "another input shape"),
    ],
)
def test_files_and_functions_of_the_callers_are_refused(
    lab: Lab, words: list[str], said: str
) -> None:
    verb = "plan" if words[0] in ("--preprocess", "--mode") else "profile"
    result = lab.call(*lab.words(verb), *words)
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert not lab.jobs


def test_the_store_that_the_environment_names_is_no_option(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKWISE_DB", "sqlite:///mine.db")
    assert isinstance(lab.call(*lab.words("profile")).exception, ArrivedError)


def test_a_text_without_bounds_cannot_be_in_a_request() -> None:
    with pytest.raises(TypeError, match="any text"):
        bounded(str | None, Allowed())
