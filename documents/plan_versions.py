"""Older plans, brought up to the schema that this version writes.

`MIGRATIONS` has one function for each version that was ever left behind; a plan goes through
them in order. `documents.Plan` asks for this wherever a plan is read: from a file, from the
store, over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import PlanError

Json = dict[str, Any]


def _from_1(plan: Json) -> Json:
    """Version 2 says how far factors were pulled, what layers save in the network, on how many
    runs the promise rests.

    Plans of the later days of version 1 say part of it already. Before that, `model_error` was the
    prediction's error for the plan's own run; now it is a median over runs that were left out,
    and null for fewer than three. A null shrinkage with factors from data means the default.
    """
    layers, predicted = plan.get("layers"), plan.get("predicted")
    if isinstance(layers, list):
        nothing = {"shrinkage": None, "in_network_saving_s": None}
        plan["layers"] = [{**nothing, **one} if isinstance(one, dict) else one for one in layers]
    if isinstance(predicted, dict) and "runs" not in predicted:
        plan["predicted"] = {**predicted, "model_error": None, "runs": 0, "own_run": False}
    return plan


def _from_2(plan: Json) -> Json:
    """Version 3 promises what was confirmed, has no measured trials, and no estimated errors."""
    gone = {
        "predicted": ("network_error_measured",),
        "search": ("measured_trials", "seed_speedup", "trial_speedup"),
    }
    for part, names in gone.items():
        if isinstance(found := plan.get(part), dict):
            plan[part] = {name: value for name, value in found.items() if name not in names}
    return plan


MIGRATIONS: Mapping[int, Callable[[Json], Json]] = {1: _from_1, 2: _from_2}
"""Functions from each version to the next one. They leave what is malformed to the schema."""


def migrated(plan: Mapping[str, Any], newest: int) -> Json:
    """A copy of a plan's JSON that follows the schema's version `newest`.

    Raises `PlanError` for a newer version, and for one that never was. A version that is no
    number stays, for the schema to refuse.
    """
    document = dict(plan)
    version = document.get("schema_version", newest)
    if not isinstance(version, int):
        return document
    if version > newest:
        raise PlanError(
            f"the plan follows schema version {version}, made by a newer rankwise; this one "
            f"reads up to {newest}: upgrade rankwise"
        )
    for number in range(version, newest):
        if number not in MIGRATIONS:
            raise PlanError(f"the plan follows schema version {number}, which does not exist")
        document = MIGRATIONS[number](document)
    return {**document, "schema_version": newest}
