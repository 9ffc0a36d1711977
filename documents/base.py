"""What every document shares: the version of its schema, and the values that several hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from .. import records
from ..instruction_sets import integer_kernels

SCHEMA_VERSION = 3
"""Version of all documents together. Plans are kept and edited, so older ones are still read:
whoever raises this adds to `plan_versions.MIGRATIONS`."""

Shape = tuple[int, ...]


class Strict(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    @classmethod
    def of(cls, record: Any) -> Self:
        """Return the document of a value that has its fields as attributes."""
        return cls.model_validate(record, from_attributes=True)

    @classmethod
    def of_own(cls, values: dict[str, Any]) -> Self:
        """Return the document of values of ours: all of its fields, of the types that it has. They
        are not validated, and `model_construct`, which looks for each field, would take longer
        than everything else of a large table."""
        document = cls.__new__(cls)
        for name, value in (
            ("__dict__", values),
            ("__pydantic_fields_set__", cls._all_fields()),
            ("__pydantic_extra__", None),
            ("__pydantic_private__", None),
        ):
            object.__setattr__(document, name, value)
        return document

    @classmethod
    @cache
    def _all_fields(cls) -> set[str]:
        return set(cls.model_fields)


class Showing(Protocol):
    """Writes documents for people; `report.notebook` does."""

    def text(self, document: Document) -> str: ...

    def html(self, document: Document) -> str: ...


class Document(Strict):
    """Every document says what it is and which version of its schema it follows.

    It is shown in one line by `repr`, as on a terminal by `print`, and as HTML in a notebook.
    """

    shown_by: ClassVar[Showing | None] = None
    """Set by whoever hands documents to people in Python; nothing is known here of tables."""

    kind: str
    schema_version: int = SCHEMA_VERSION

    @property
    def headline(self) -> str:
        """The document in one line."""
        return self.kind

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.headline}>"

    def __str__(self) -> str:
        return repr(self) if self.shown_by is None else self.shown_by.text(self)

    def _repr_html_(self) -> str | None:
        return None if self.shown_by is None else self.shown_by.html(self)

    @classmethod
    def describes(cls, data: Mapping[str, Any]) -> bool:
        """Whether JSON says that it is such a document, whatever its version."""
        return bool(data.get("kind") == cls.model_fields["kind"].default)


class Decomposition(Strict):
    kind: str
    ranks: tuple[int, ...] = ()
    groups: int = 1
    precision: str = Field(default="", exclude_if=lambda precision: not precision)

    def record(self) -> records.Decomposition:
        return records.Decomposition(self.kind, tuple(self.ranks), self.groups, self.precision)


class Fingerprint(Strict):
    backend: str
    hardware_key: str
    software_key: str
    hardware: dict[str, str]
    software: dict[str, str]
    integer_kernels: str = Field(default="", exclude_if=lambda kernels: not kernels)
    """What a processor multiplies int8 by; part of neither key, because `isa` says the same."""

    @classmethod
    def of(cls, record: records.DeviceFingerprint) -> Self:
        keys = {"hardware_key": record.hardware_key, "software_key": record.software_key}
        kernels = integer_kernels(dict(record.hardware).get("isa", ""))
        return cls.model_validate({**record.to_json(), **keys, "integer_kernels": kernels})


class ModelInput(Strict):
    name: str
    shape: Shape
    dtype: str


class Model(Strict):
    """A network. `notes`: sentences on how it was read. `inputs` where it takes anything else than
    one float32 tensor; `input_shape` is the first one's."""

    source: str
    sha256: str
    input_shape: Shape
    notes: list[str] = []
    inputs: tuple[ModelInput, ...] = Field(default=(), exclude_if=lambda found: not found)


class WithSpeedup(Protocol):
    """A speedup and its interval."""

    @property
    def speedup(self) -> float | None: ...

    @property
    def speedup_low(self) -> float | None: ...

    @property
    def speedup_high(self) -> float | None: ...


def speedup_text(of: WithSpeedup) -> str:
    """Return a speedup with its interval; `not known` for None."""
    if of.speedup is None:
        return "not known"
    return f"{of.speedup:.3f} [{of.speedup_low:.3f}, {of.speedup_high:.3f}]"


class Failure(Strict):
    layer: str
    decomposition: Decomposition
    stage: str
    reason: str


class RowDevice(Strict):
    backend: str
    hardware_key: str
    software_key: str


class PictureErrors(Strict):
    """The network error of each picture alone: the median, what nine of ten keep below, and the
    worst, with its picture's name (null where inputs are noise). Null where it is infinite."""

    count: int
    median: float | None
    quantile_90: float | None
    worst: float | None
    worst_name: str | None


class Errors(Strict):
    """The relative error of each part that is compared, by name, and the errors by picture. Null
    where an error is infinite."""

    parts: dict[str, float | None]
    pictures: PictureErrors


class CalibrationNote(Strict):
    sha256: str
    images: int
    preprocess: str
    split: dict[str, int]
