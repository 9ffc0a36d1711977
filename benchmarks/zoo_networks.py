"""Small networks of many families, with random weights: the classes of `transformers` that
`zoo.toml` names, the topologies in the `onnx` package, and our own zoo.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Inputs = dict[str, Tensor]
Settings = Mapping[str, Any]
TABLE = Path(__file__).with_name("zoo.toml")
TOKENS, WORDS = 8, 90
"""Of a text, and the ids below which its tokens are drawn."""


@dataclass(frozen=True, slots=True)
class Member:
    """One network; `build` gives the module, file or name, and the inputs of a module by name."""

    name: str
    build: Callable[[], tuple[Any, Inputs]]


def members() -> Iterator[Member]:
    """All networks, those of `transformers` first."""
    import onnx

    from rankwise.sources import zoo

    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    for row in table["network"]:
        yield Member(_class_name(row), partial(_of_class, row, table["shared"]))
    light = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    for file in sorted(light.glob("*.onnx")):
        yield Member(file.stem, partial(_as_it_is, str(file)))
    for name in zoo.ZOO:
        yield Member(name, partial(_as_it_is, name))


def _as_it_is(model: str) -> tuple[str, Inputs]:
    return model, {}


def _class_name(row: Settings) -> str:
    return str(row["class"]).rpartition(".")[2]


def _of_class(row: Settings, shared: Mapping[str, Settings]) -> tuple[nn.Module, Inputs]:
    torch.manual_seed(0)
    home, _, name = f"transformers.{row['class']}".rpartition(".")
    settings = _settings(row, shared) | row.get("settings", {})
    if "backbone" in row:
        given = dict(row["backbone"])
        config = given.pop("config")
        settings["backbone_config"] = _config(config, _settings(given, shared) | given)
    module = getattr(import_module(home), name)(_config(row["config"], settings))
    return module.eval(), _inputs(row["inputs"])


def _settings(row: Settings, shared: Mapping[str, Settings]) -> dict[str, Any]:
    return dict(shared[row["like"]]) if "like" in row else {}


def _config(name: str, settings: Settings) -> Any:
    import transformers

    return getattr(transformers, name)(**{k: v for k, v in settings.items() if k != "like"})


def _inputs(wanted: str | Mapping[str, list[int]]) -> Inputs:
    if isinstance(wanted, str):
        return INPUTS[wanted]()
    return {name: torch.randn(shape) for name, shape in wanted.items()}


def _tokens() -> Inputs:
    ids = torch.randint(1, WORDS, (1, TOKENS))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _pictures(*shape: int) -> Inputs:
    return {"pixel_values": torch.randn(1, *shape)}


INPUTS: dict[str, Callable[[], Inputs]] = {
    "tokens": _tokens,
    "picture": partial(_pictures, 3, 32, 32),
    "large_picture": partial(_pictures, 3, 64, 64),
    "text_and_picture": lambda: {**_tokens(), **_pictures(3, 32, 32)},
    "sound": lambda: {"input_values": torch.randn(1, 800)},
    "video": partial(_pictures, 4, 3, 32, 32),
}
"""Inputs by the words of the table."""
