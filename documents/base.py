"""What every document shares: the version of its schema, and the values that several hold."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from .. import records

SCHEMA_VERSION = 2
"""Of all documents together. Plans are kept and edited, so older ones are still read: whoever
raises this adds to `plan_versions.MIGRATIONS`."""

Shape = tuple[int, ...]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Document(Strict):
    """Every document says what it is and which version of its schema it follows."""

    kind: str
    schema_version: int = SCHEMA_VERSION


class Decomposition(Strict):
    kind: str
    ranks: tuple[int, ...] = ()
    groups: int = 1

    @classmethod
    def of(cls, record: records.Decomposition) -> Decomposition:
        return cls(kind=record.kind, ranks=record.ranks, groups=record.groups)

    def record(self) -> records.Decomposition:
        return records.Decomposition(self.kind, tuple(self.ranks), self.groups)


class Fingerprint(Strict):
    backend: str
    hardware_key: str
    software_key: str
    hardware: dict[str, str]
    software: dict[str, str]

    @classmethod
    def of(cls, record: records.DeviceFingerprint) -> Fingerprint:
        return cls(
            backend=record.backend,
            hardware_key=record.hardware_key,
            software_key=record.software_key,
            hardware=dict(record.hardware),
            software=dict(record.software),
        )


class Model(Strict):
    source: str
    sha256: str
    input_shape: Shape


class Failure(Strict):
    layer: str
    decomposition: Decomposition
    stage: str
    reason: str


class RowDevice(Strict):
    backend: str
    hardware_key: str
    software_key: str


class CalibrationNote(Strict):
    sha256: str
    images: int
    preprocess: str
    split: dict[str, int]
