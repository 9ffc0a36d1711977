"""ONNX Runtime's own static quantiser: weights int8, signed and per channel; activations uint8,
per tensor, by the least and the largest value on calibration pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from ..errors import CalibrationError, ModelError, first_line
from ..inputs.examples import Examples, Given
from ..models.batching import batches
from .preparation import quiet
from .stays_float import kept_in_float

Ranges = Mapping[str, tuple[float, float]]
"""Least and largest value of each tensor."""


class _Reader:
    """Batches of examples as the quantiser asks for them."""

    def __init__(self, model: ModelProto, inputs: Given, batch: int) -> None:
        self._parts = self._fed([value.name for value in model.graph.input], inputs, batch)

    @staticmethod
    def _fed(names: list[str], inputs: Given, batch: int) -> Iterator[dict[str, Any]]:
        for part, _ in batches(inputs, batch):
            given = part.by_name if isinstance(part, Examples) else {names[0]: part}
            yield {name: array for name, array in given.items() if name in names}

    def get_next(self) -> dict[str, Any] | None:
        return next(self._parts, None)


def calibrated(model: ModelProto, inputs: Given, batch: int) -> Ranges:
    """Return the range of every tensor that may be quantised, over examples (n, ...).

    Raises `CalibrationError` without examples, `ModelError` where the network does not run on them.
    """
    from onnxruntime.quantization.calibrate import create_calibrator

    if not len(inputs):
        raise CalibrationError("int8 needs pictures to take ranges from: give --calibration")
    with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
        read, written = Path(folder) / "read.onnx", Path(folder) / "written.onnx"
        onnx.save(model, read)
        try:
            with quiet():
                taker = create_calibrator(read, augmented_model_path=str(written))
                taker.collect_data(_Reader(model, inputs, batch))
                found = taker.compute_data()
        except Exception as error:  # of many kinds
            raise ModelError(
                f"ONNX Runtime cannot take this network's ranges: {first_line(error)}"
            ) from error
    return {name: (one.lowest.item(), one.highest.item()) for name, one in found.items()}


def quantised(model: ModelProto, ranges: Ranges, in_float: Collection[str]) -> ModelProto:
    """Return the network in int8 (QDQ), save for the named nodes, which stay in float.

    Raises `ModelError` where the quantiser refuses it.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

    method = CalibrationMethod.MinMax
    pairs = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
        known, written = Path(folder) / "ranges.json", Path(folder) / "int8.onnx"
        try:
            with quiet():
                save_tensors_data(TensorsData(method, pairs), known)
                quantize_static(
                    model,
                    written,
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    nodes_to_exclude=sorted(in_float),
                    calibrate_method=method,
                    calibration_cache_path=known,
                )
            return kept_in_float(onnx.load(written), in_float)
        except Exception as error:  # of many kinds
            raise ModelError(
                f"ONNX Runtime's quantiser refuses this network: {first_line(error)}"
            ) from error
