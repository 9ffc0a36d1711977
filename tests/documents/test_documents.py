"""The published schemas are the ones that the code means."""

import json
from pathlib import Path

import pytest

from rankwise.documents import DOCUMENTS, schemas

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
