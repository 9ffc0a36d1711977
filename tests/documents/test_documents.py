"""The published schemas are the ones that the code means."""

import json
from pathlib import Path

import pytest

from rankwise.documents import DOCUMENTS, Decomposition, Row, schemas
from rankwise.documents.base import RowDevice

PUBLISHED = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.parametrize("name", sorted(schemas()))
def test_published_schema_is_current(name: str) -> None:
    published = json.loads((PUBLISHED / name).read_text(encoding="utf-8"))
    assert published == schemas()[name], "run: make schemas"


def test_every_document_says_what_it_is() -> None:
    for document in DOCUMENTS:
        assert document.model_fields["kind"].default.startswith("rankwise.")


def test_nothing_else_is_published() -> None:
    assert {path.name for path in PUBLISHED.iterdir()} == set(schemas())


def test_rows_of_our_own_values_are_as_if_they_were_validated() -> None:
    """Speedup tables make their rows so, by the ten thousand."""
    values = {
        "layer": "c", "layers": ["c"], "op": "conv2d", "spec": {}, "spec_key": "", "count": 1,
        "decomposition": Decomposition(kind="svd", ranks=(4,)),
        "device": RowDevice(backend="fake", hardware_key="b", software_key="c"), "policy": {},
        "latency_s": 1.0, "original_latency_s": 2.0, "saving_s": 1.0, "speedup": 2.0,
        "speedup_low": 1.9, "speedup_high": 2.1, "verdict": "FASTER", "macs": 1, "original_macs": 2,
        "params": 3, "measured_at": "now", "stale": False, "measurement_id": "d", "boards": 2,
        "network_error": None,
    }  # fmt: skip
    made, checked = Row.of_own(values), Row.model_validate(values)
    assert made == checked
    assert made.model_dump_json() == checked.model_dump_json()
    assert made.model_copy(update={"stale": True}).stale
