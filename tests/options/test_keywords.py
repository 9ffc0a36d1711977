"""A verb in Python: the class's fields are its keywords, in its signature, too."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer.main

import rankwise as rw
from rankwise.cli import app
from rankwise.options import measuring, networks, planning, tuning
from rankwise.options.keywords import arguments_for, keywords, takes
from rankwise.options.option import Option, option_fields

CLASSES: dict[str, type] = {
    "devices": measuring.DevicesOptions,
    "fleet_devices": measuring.FleetOptions,
    "doctor": measuring.DoctorOptions,
    "layers": measuring.LayersOptions,
    "profile": measuring.ProfileOptions,
    "table": measuring.TableOptions,
    "plan": planning.PlanOptions,
    "pareto": planning.ParetoOptions,
    "explain": planning.ExplainOptions,
    "what_if": planning.WhatIfOptions,
    "apply": networks.ApplyOptions,
    "verify": networks.VerifyOptions,
    "recover": networks.RecoverOptions,
    "finetune": networks.FinetuneOptions,
    "tune": tuning.TuneOptions,
}


def test_every_verb_of_python_has_its_class() -> None:
    others = {"load", "MlflowTracker", "WandbTracker"}  # read what verbs wrote, listen to them
    others |= {"write_report"}  # writes files for the command `report`
    others |= {f"{verb}_store" for verb in ("check", "export", "import", "prune", "upgrade")}
    assert set(CLASSES) == set(rw.__all__) - others


@pytest.mark.parametrize("name", CLASSES)
def test_the_signature_is_the_class(name: str) -> None:
    verb, options = getattr(rw, name), CLASSES[name]
    signature = inspect.signature(verb)
    assert list(signature.parameters) == [field.name for field in fields(options)]
    hints = get_type_hints(options)
    for parameter in signature.parameters.values():
        assert parameter.annotation == hints[parameter.name]
        assert not isinstance(parameter.default, Option)
    assert verb.__name__ == name
    assert len(verb.__doc__ or "") > 40
    with pytest.raises(TypeError, match="nosuch"):
        verb(nosuch=1)


@pytest.mark.parametrize("name", CLASSES)
def test_the_command_has_the_same_words_and_defaults(name: str) -> None:
    """But for files that only the command writes, and how documents are shown."""
    if name == "fleet_devices":
        return  # `devices --fleet`, with the words of both
    command = typer.main.get_command(app).commands[name.replace("_", "-")]  # type: ignore[attr-defined]
    parameters = {parameter.name: parameter for parameter in command.params}
    for field in option_fields(CLASSES[name]):
        parameter = parameters.pop(field.name)
        assert parameter.required == (field.required and not field.option.findable)
        if not field.required:
            default = list(field.default) if field.repeats else field.default
            assert (parameter.default or None) == (default or None)
    own = {"json", "debug", "server", "output", "format", "draw", "draw_savings", "help"}
    own |= {"quiet", "verbose", "best", "sort", "verdict", "top", "columns", "by_dtype"}
    if name == "devices":
        own |= {"fleet", *keywords(measuring.FleetOptions())}
    assert set(parameters) <= own


def test_a_verb_is_written_for_its_options() -> None:
    @takes(measuring.TableOptions)
    def verb(options: measuring.TableOptions) -> Sequence[str]:
        """Say which devices."""
        return options.devices

    assert verb("net", devices=["cpu"]) == ["cpu"]
    assert verb() == ()
    assert keywords(measuring.TableOptions(layer="a"))["layer"] == "a"


def test_a_function_is_given_what_it_has_parameters_for() -> None:
    def load(model: Any, *, weights: Path | None, batch: int, own: int = 3) -> None: ...

    options = measuring.ProfileOptions("net", backend="fake", batch=2)
    assert arguments_for(load, options) == {"model": "net", "weights": None, "batch": 2}
    assert arguments_for(load, options, batch=5)["batch"] == 5


def test_paths_may_be_given_as_text() -> None:
    @takes(networks.ApplyOptions)
    def verb(options: networks.ApplyOptions) -> dict[str, Any]:
        """Say what was given."""
        return keywords(options)

    given = verb("plan.json", "net.onnx", output="out.onnx", calibration="photos", weights="w.pth")
    assert given["output"] == Path("out.onnx")
    assert given["calibration"] == Path("photos")
    assert given["weights"] == Path("w.pth")
    assert (given["plan"], given["model"]) == ("plan.json", "net.onnx")
    assert given["db"].startswith("sqlite")
