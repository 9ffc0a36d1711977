"""docs/preprocessing.md: its file and its function are ones that rankwise takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from rankwise.models.preprocess import BUILT_IN, Recipe, find_preprocess

PAGE = Path(__file__).resolve().parents[2] / "docs" / "preprocessing.md"
TEXT = PAGE.read_text(encoding="utf-8")
SHAPE = (3, 224, 224)


def block(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(text)


def test_the_file_is_imagenet_written_out(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(block("toml"), encoding="utf-8")
    read = find_preprocess(str(tmp_path / "mine.toml"), SHAPE)
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    np.testing.assert_allclose(
        read(picture, SHAPE), BUILT_IN["imagenet"](SHAPE)(picture, SHAPE), rtol=1e-5
    )


def test_every_name_and_setting_is_told() -> None:
    assert not [name for name in BUILT_IN if f"`{name}`" not in TEXT]
    assert not [name for name in Recipe("").settings if f"`{name}`" not in TEXT]


def test_the_function_makes_an_example() -> None:
    made: dict[str, Any] = {}
    exec(block("python"), made)
    white = made["halves"](np.full((448, 448, 3), 255, np.uint8))
    assert (white.shape, white.dtype) == (SHAPE, np.float32)
    np.testing.assert_allclose(white, 1)
