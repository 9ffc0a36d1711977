"""What documents say of a network, of what of it is compared, and of the pictures used with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import documents
from ..inputs.examples import AskedInput
from .compared import Compared, ComparedPart
from .network import Network
from .network_error import NetworkError
from .pictures import Calibration


def model_note(network: Network) -> documents.Model:
    """Return what identifies a network, and what is to be known of how it was read."""
    inputs = (documents.ModelInput(**one._asdict()) for one in network.inputs.asked)
    return documents.Model(
        source=network.source,
        sha256=network.sha256,
        input_shape=network.input_shape,
        notes=list(network.loading_notes),
        inputs=tuple(inputs),
    )


def asked_of(model: documents.Model) -> dict[str, Any]:
    """Return as keywords of `load_network` which inputs a document says that its network takes."""
    if not model.inputs:
        return {"input_shape": model.input_shape}
    return {"inputs": [AskedInput(one.name, one.shape, one.dtype) for one in model.inputs]}


def calibration_note(pictures: Calibration | None) -> documents.CalibrationNote | None:
    """Return what identifies calibration pictures; None for none."""
    if pictures is None:
        return None
    return documents.CalibrationNote(
        sha256=pictures.sha256,
        images=pictures.images,
        preprocess=pictures.preprocess,
        split={str(name): count for name, count in pictures.examples.items()},
    )


def compared_note(compared: Compared) -> list[documents.ComparedPart]:
    """Return what is compared as a plan keeps it."""
    return [documents.ComparedPart.of(part) for part in compared.parts]


def error_note(error: NetworkError, names: Sequence[str] = ()) -> documents.Errors:
    """Return the error by part and by picture, whose names are given in their order if they have
    any."""
    pictures = error.by_picture
    worst = int(pictures.argmax())
    return documents.Errors(
        parts={name: _finite(value) for name, value in error.by_part.items()},
        pictures=documents.PictureErrors(
            count=len(pictures),
            median=_finite(np.median(pictures)),
            quantile_90=_finite(np.quantile(pictures, 0.9)),
            worst=_finite(pictures[worst]),
            worst_name=names[worst] if names else None,
        ),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def compared_of(plan: documents.Plan) -> Compared | None:
    """Return what a plan says is compared; None for plans that do not say it."""
    parts = [ComparedPart(one.output, one.selection, one.weight) for one in plan.compared]
    return Compared(tuple(parts)) if parts else None
