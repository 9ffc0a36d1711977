"""Networks of installed libraries by one word: `timm:NAME`, `torchvision:NAME`, `hf:OWNER/NAME`.

Architecture, weights, input and preprocessing are the library's. Nothing is fetched: weights that
are not on this machine are named, with how to get them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from ..errors import ModelError, first_line
from .callables import seeded
from .checkpoint import read_state
from .weights import load_state

IMAGENET_SIZE = 224
TOKENS = 128
"""Of an example of text, where the network takes as many."""
RATE_HZ = 16_000
"""Of sound, where nothing else is said; an example is a second."""


@dataclass(frozen=True, slots=True)
class LibraryNetwork:
    """`example`: the shape of its input, or inputs by name; None where the library does not say.
    `preprocess`: settings of a `models.preprocess.Recipe`; none where inputs are no pictures."""

    module: nn.Module
    example: tuple[int, ...] | Mapping[str, Tensor] | None = None
    preprocess: Mapping[str, Any] = field(default_factory=dict)


def library_network(text: str, *, with_weights: bool = True) -> LibraryNetwork:
    """Make a network; `with_weights=False` where others are loaded.

    Raises `ModelError` with one sentence where the library is missing or fails, does not know the
    name, or has no weights for it on this machine.
    """
    library, _, name = text.partition(":")
    try:
        with _quiet():
            return LIBRARIES[library](text, name, with_weights)
    except ModelError:
        raise
    except Exception as error:  # of the library
        raise ModelError(f"{text} failed: {first_line(error)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars, and without a change of the caller's random numbers."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), seeded(0):
        yield


def _imported(name: str, text: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModelError(f"{text} needs the package {name}, which is not installed here") from error


def _timm(text: str, name: str, with_weights: bool) -> LibraryNetwork:
    timm = _imported("timm", text)
    if not timm.is_model(name):
        raise ModelError(f"timm has no network {name!r}")
    module = timm.create_model(name, pretrained=False)
    if with_weights:
        _load(module, _timm_weights(module.pretrained_cfg), text)
    given = timm.data.resolve_model_data_config(module)
    height = given["input_size"][-2]
    return LibraryNetwork(
        module,
        (1, *given["input_size"]),
        {
            "resize": round(height / given["crop_pct"]),
            "mean": tuple(given["mean"]),
            "std": tuple(given["std"]),
        },
    )


def _timm_weights(settings: Mapping[str, Any]) -> Path | None:
    """Where timm, or the hub that it asks, keeps what was fetched."""
    if not settings.get("hf_hub_id"):
        return _fetched(settings.get("url") or "")
    from huggingface_hub import try_to_load_from_cache

    for file in (settings.get("hf_hub_filename"), "model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(settings["hf_hub_id"], file) if file else None
        if isinstance(found, str):
            return Path(found)
    return None


def _torchvision(text: str, name: str, with_weights: bool) -> LibraryNetwork:
    models = _imported("torchvision", text).models
    if name not in models.list_models():
        raise ModelError(f"torchvision has no network {name!r}")
    module = models.get_model(name, weights=None)
    best = models.get_model_weights(name).DEFAULT
    if with_weights:
        _load(module, _fetched(best.url), text)
    given = best.transforms()
    size = _pair(getattr(given, "crop_size", IMAGENET_SIZE))
    resize = getattr(given, "resize_size", size)
    return LibraryNetwork(
        module,
        (1, 3, *size),
        {
            "resize": resize[0] if len(resize) == 1 else tuple(resize),
            "mean": tuple(getattr(given, "mean", (0.0,))),
            "std": tuple(getattr(given, "std", (1.0,))),
        },
    )


def _pair(size: Any) -> tuple[int, int]:
    sizes = [size] if isinstance(size, int) else list(size)
    return int(sizes[0]), int(sizes[-1])


def _fetched(url: str) -> Path | None:
    """Where torch's hub keeps what it fetched from there."""
    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    return path if name and path.is_file() else None


def _load(module: nn.Module, path: Path | None, text: str) -> None:
    if path is None:
        library, _, name = text.partition(":")
        fetch = {
            "timm": f"timm.create_model({name!r}, pretrained=True)",
            "torchvision": f"torchvision.models.get_model({name!r}, weights='DEFAULT')",
        }[library]
        raise ModelError(
            f"the weights of {text} are not on this machine, and nothing is fetched unasked: call "
            f"{fetch} once, or give --weights"
        )
    load_state(module, read_state(path), path)


def _hugging_face(text: str, name: str, with_weights: bool) -> LibraryNetwork:
    transformers = _imported("transformers", text)
    try:
        config = transformers.AutoConfig.from_pretrained(name, local_files_only=True)
        kind = getattr(transformers, (config.architectures or [""])[0], transformers.AutoModel)
        if with_weights:
            module = kind.from_pretrained(name, local_files_only=True, dtype=torch.float32)
        else:
            module = kind.from_config(config) if kind is transformers.AutoModel else kind(config)
    except OSError as error:
        raise ModelError(
            f"{text} is neither a folder nor in the cache of this machine, and nothing is fetched "
            f"unasked: call `hf download {name}` once"
        ) from error
    return LibraryNetwork(module, *_hugging_face_input(transformers, name, config, module))


def _hugging_face_input(
    transformers: Any, name: str, config: Any, module: Any
) -> tuple[tuple[int, ...] | Mapping[str, Tensor] | None, Mapping[str, Any]]:
    """The input's shape, or inputs of text, and how pictures become it."""
    settings = getattr(config, "vision_config", config)
    if module.main_input_name == "input_ids" and not config.is_encoder_decoder:
        return _tokens(config.vocab_size, config), {}
    if module.main_input_name == "input_values":
        return (1, getattr(settings, "sampling_rate", RATE_HZ)), {}
    if module.main_input_name != "pixel_values":
        return None, {}
    try:
        given, _ = transformers.ImageProcessingMixin.get_image_processor_dict(
            name, local_files_only=True
        )
    except OSError:
        given = {}
    own = getattr(settings, "image_size", None) or given.get("crop_size") or given.get("size")
    size = _sides(own or IMAGENET_SIZE)
    shape = (1, getattr(settings, "num_channels", 3), size[0], size[-1])
    return shape, _recipe(given, size) if given else {}


def _tokens(words: int, config: Any) -> Mapping[str, Tensor]:
    """A text of `TOKENS` tokens, all of which count."""
    length = min(TOKENS, getattr(config, "max_position_embeddings", TOKENS))
    ids = torch.randint(words, (1, length))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _recipe(given: Mapping[str, Any], size: tuple[int, ...]) -> Mapping[str, Any]:
    """What a `preprocessor_config.json` says. Pictures come in the size of the network."""
    scale = given.get("rescale_factor", 1 / 255) if given.get("do_rescale", True) else 1.0
    normal = given.get("do_normalize", True)
    resize = _sides(given.get("size") or size) if given.get("do_resize", True) else None
    return {
        "resize": resize[0] if resize is not None and len(resize) == 1 else resize,
        "scale": scale,
        "mean": tuple(given.get("image_mean", (0.0,))) if normal else (0.0,),
        "std": tuple(given.get("image_std", (1.0,))) if normal else (1.0,),
    }


def _sides(size: Any) -> tuple[int, ...]:
    """A side, or height and width, of what settings say in one of several ways."""
    if isinstance(size, Mapping):
        named = [size.get("shortest_edge")] if "shortest_edge" in size else list(size.values())
        size = [one for one in named if one]
    return (int(size),) if isinstance(size, int | float) else tuple(map(int, size))


LIBRARIES: Mapping[str, Callable[[str, str, bool], LibraryNetwork]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "hf": _hugging_face,
}
