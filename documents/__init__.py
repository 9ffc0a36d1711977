"""The JSON documents that rankwise reads and writes, as pydantic models.

Their JSON Schemas under `docs/schemas/` are generated from here. Durations are seconds,
`macs` are multiply-accumulates (never doubled) for one example, sizes are bytes.
"""

from __future__ import annotations

from typing import Any

from .base import (
    SCHEMA_VERSION,
    CalibrationNote,
    Decomposition,
    Document,
    Errors,
    Failure,
    Fingerprint,
    Model,
    ModelInput,
    PictureErrors,
    RowDevice,
    Shape,
)
from .explanation import ExplainedCandidate, ExplainedLayer, Explanation, LayerCost
from .fleet import Fleet, FleetDevice, FleetProfile
from .layers import Layer, Layers, OtherParameters, Parameters, RankedLayer, Ranking
from .machine import Check, Device, Devices, Doctor
from .pareto import FrontPoint, Pareto
from .plan import (
    ComparedPart,
    NetworkInDtype,
    OnDevice,
    Plan,
    PlannedLayer,
    Predicted,
    Promise,
    Search,
    Verification,
    VerificationDocument,
)
from .profile import Profile, Staircase
from .recovery import ErrorChange, Recovery, ReportChange, TrainingPoint
from .table import OddBoard, Row, Table
from .tuning import NextCommand, Tuning, TuningStep
from .what_if import WhatIf, WhatIfLayer

__all__ = [
    "DOCUMENTS",
    "SCHEMA_VERSION",
    "CalibrationNote",
    "Check",
    "ComparedPart",
    "Decomposition",
    "Device",
    "Devices",
    "Doctor",
    "Document",
    "ErrorChange",
    "Errors",
    "ExplainedCandidate",
    "ExplainedLayer",
    "Explanation",
    "Failure",
    "Fingerprint",
    "Fleet",
    "FleetDevice",
    "FleetProfile",
    "FrontPoint",
    "Layer",
    "LayerCost",
    "Layers",
    "Model",
    "ModelInput",
    "NetworkInDtype",
    "NextCommand",
    "OddBoard",
    "OnDevice",
    "OtherParameters",
    "Parameters",
    "Pareto",
    "PictureErrors",
    "Plan",
    "PlannedLayer",
    "Predicted",
    "Profile",
    "Promise",
    "RankedLayer",
    "Ranking",
    "Recovery",
    "ReportChange",
    "Row",
    "RowDevice",
    "Search",
    "Shape",
    "Staircase",
    "Table",
    "TrainingPoint",
    "Tuning",
    "TuningStep",
    "Verification",
    "VerificationDocument",
    "WhatIf",
    "WhatIfLayer",
    "schemas",
]

DOCUMENTS: tuple[type[Document], ...] = (
    Devices,
    Fleet,
    FleetProfile,
    Doctor,
    Layers,
    Profile,
    Table,
    Plan,
    VerificationDocument,
    Explanation,
    WhatIf,
    Pareto,
    Recovery,
    Tuning,
)
"""Every document that a command prints or writes."""


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas by file name, as they are published under `docs/schemas/`."""
    return {
        f"{document.model_fields['kind'].default}.schema.json": document.model_json_schema()
        for document in DOCUMENTS
    }
