"""What documents say of a network, and of the pictures that were used with it."""

from __future__ import annotations

from .. import documents
from .network import Network
from .pictures import Calibration


def model_note(network: Network) -> documents.Model:
    """Return what identifies a network."""
    return documents.Model(
        source=network.source, sha256=network.sha256, input_shape=network.input_shape
    )


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
