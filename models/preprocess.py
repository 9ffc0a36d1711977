"""Preprocessing of photos: size, crop, layout, channel order, mean, deviation."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError, ModelError, first_line
from ..sources.callables import find_callable, is_library

Image = NDArray[np.uint8]
"""(H, W, 3), or (H, W, 1) where the network takes one channel."""
Shape = tuple[int, ...]


class Preprocess(Protocol):
    """Turns one image into one example, the batch left out."""

    @property
    def name(self) -> str:
        """The name that the user wrote; enough to find it again."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Everything it does, as JSON for a hash."""
        ...

    @property
    def resizes(self) -> bool:
        """Whether an image of any size becomes an example."""
        ...

    def __call__(self, image: Image, shape: Shape) -> NDArray[np.float32]:
        """Return the example of that shape. Raises `CalibrationError` if the image does not fit."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """A preprocessing that is all numbers; what a TOML file holds.

    In order: `resize` (the short side, or (height, width)), centre `crop` to the network's
    input size, `channel_order`, then (value * scale - mean) / std for each channel, `layout`
    (NCHW, NHWC, or auto: by where the network's input has its channels).
    """

    name: str
    resize: int | tuple[int, int] | None = None
    crop: int | tuple[int, int] | None = None
    layout: str = "auto"
    channel_order: str = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def settings(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "name"}

    @property
    def resizes(self) -> bool:
        return self.resize is not None

    def __call__(self, image: Image, shape: Shape) -> NDArray[np.float32]:
        last = channels_last(shape, self.layout)
        height, width = shape[:2] if last else shape[1:]
        if self.crop is not None and _both(self.crop) != (height, width):
            raise CalibrationError(
                f"preprocessing {self.name} crops to {self.crop}, but the network takes "
                f"{height}x{width}"
            )
        pixels = _centre(_resized(image, self.resize), height, width)
        if self.channel_order == "BGR":
            pixels = pixels[:, :, ::-1]
        values = (pixels.astype(np.float32) * np.float32(self.scale) - _row(self.mean)) / _row(
            self.std
        )
        return np.ascontiguousarray(values if last else values.transpose(2, 0, 1))


def channels_last(shape: Shape, layout: str = "auto") -> bool:
    """Return whether an example of (C, H, W) or (H, W, C) has its channels last."""
    if len(shape) != 3:
        raise CalibrationError(f"pictures do not fit a network whose input is {shape}")
    if layout != "auto":
        return layout == "NHWC"
    return shape[0] not in (1, 3) and shape[-1] in (1, 3)


def _row(numbers: Sequence[float]) -> NDArray[np.float32]:
    return np.array(numbers, dtype=np.float32)


def _both(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _resized(image: Image, resize: int | tuple[int, int] | None) -> Image:
    """Resize bilinearly with antialiasing; a single number is the length of the short side."""
    if resize is None:
        return image
    from PIL import Image as Pillow

    height, width = image.shape[:2]
    if isinstance(resize, int):
        ratio = resize / min(height, width)
        resize = (max(resize, round(height * ratio)), max(resize, round(width * ratio)))
    grey = image.shape[2] == 1
    picture = Pillow.fromarray(image[:, :, 0] if grey else image)
    resized = np.asarray(picture.resize((resize[1], resize[0]), Pillow.Resampling.BILINEAR))
    return resized[:, :, None] if grey else resized


def _centre(image: Image, height: int, width: int) -> Image:
    check_holds(image, height, width)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def check_holds(image: Image, height: int, width: int) -> None:
    """Raises `CalibrationError` for a picture that a window of that size does not fit into."""
    if image.shape[0] < height or image.shape[1] < width:
        raise CalibrationError(
            f"a picture of {image.shape[0]}x{image.shape[1]} is smaller than the network's input "
            f"{height}x{width}: choose a preprocessing that resizes"
        )


@dataclass(frozen=True, slots=True)
class Custom:
    """The user's own function: one image (H, W, 3) in uint8 to one example in float32.

    A function that cuts its example out of the image, instead of shrinking the image to it,
    says so by an attribute `resizes = False`; windows are then taken all over large images.
    """

    name: str
    function: Callable[[Image], Any]
    resizes: bool = True
    source: str = ""
    """Hash of the file that the function is in: once that is edited, examples may be others."""

    @property
    def settings(self) -> dict[str, Any]:
        return {"callable": self.name, "source": self.source}

    def __call__(self, image: Image, shape: Shape) -> NDArray[np.float32]:
        try:
            example = np.asarray(self.function(image), dtype=np.float32)
        except Exception as error:
            # The user's code may raise anything.
            raise CalibrationError(
                f"preprocessing {self.name} failed: {first_line(error)}"
            ) from error
        if example.shape != shape:
            raise CalibrationError(
                f"preprocessing {self.name} makes {example.shape}, but the network takes {shape}"
            )
        return example


IMAGENET_RATIO = 256 / 224
"""Short side over crop, in what torchvision's and Caffe's models were trained for."""


def _photo(name: str, shape: Shape, **settings: Any) -> Recipe:
    last = channels_last(shape)
    size = max(shape[:2] if last else shape[1:])
    return Recipe(name, resize=round(size * IMAGENET_RATIO), **settings)


BUILT_IN: dict[str, Callable[[Shape], Recipe]] = {
    "imagenet": lambda shape: _photo(
        "imagenet", shape, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "caffe-bgr": lambda shape: _photo(
        "caffe-bgr", shape, channel_order="BGR", scale=1.0, mean=(104.0, 117.0, 123.0)
    ),
    "unit": lambda _: Recipe("unit"),
}


def find_preprocess(text: str, shape: Shape) -> Preprocess:
    """Return a preprocessing by name, TOML file or `package.module:callable`, for `shape`.

    Raises `CalibrationError` with one sentence.
    """
    if text in BUILT_IN:
        return BUILT_IN[text](shape)
    if text.endswith(".toml"):
        return _from_toml(Path(text))
    if is_library(text):
        return _of_library(text)
    if ":" in text:
        try:
            function, home = find_callable(text)
        except ModelError as error:
            raise CalibrationError(str(error)) from error
        return Custom(text, function, bool(getattr(function, "resizes", True)), _source(home))
    raise CalibrationError(
        f"there is no preprocessing {text!r}: give {', '.join(BUILT_IN)}, a .toml file, or "
        "package.module:callable"
    )


def _of_library(text: str) -> Recipe:
    from ..sources.libraries import library_network

    try:
        settings = library_network(text, with_weights=False).preprocess
    except ModelError as error:
        raise CalibrationError(str(error)) from error
    if not settings:
        raise CalibrationError(f"{text} does not say how pictures become its input")
    return replace(Recipe(text), **settings)


SMALL = 128
"""Photos that a network takes in this size or larger are resized for it; smaller ones are not."""


def preprocess_wanted(shape: Shape) -> str:
    """Return the sentence for whoever has left --preprocess out; with what to type, where an input
    of that shape (one example's) leaves little doubt."""
    ask = "say how pictures become the network's input:"
    others = "a .toml file, or package.module:callable"
    usual = _usual_for(shape)
    if usual is None:
        return f"{ask} --preprocess {', '.join(BUILT_IN)}, {others}"
    rest = ", ".join(name for name in BUILT_IN if name != usual)
    size = "x".join(map(str, shape))
    return (
        f"{ask} networks that take {size} mostly want --preprocess {usual}; if yours was trained "
        f"otherwise, {rest}, {others}"
    )


def _usual_for(shape: Shape) -> str | None:
    """Return what nearly all networks with that input take; None where there are several ways, as
    with channels that come last."""
    if len(shape) != 3 or channels_last(shape) or shape[0] not in (1, 3):
        return None
    return "imagenet" if shape[0] == 3 and min(shape[1:]) >= SMALL else "unit"


def usual_preprocess(source: str) -> str | None:
    """Return the preprocessing that comes with a network of that source, if one does."""
    return source if is_library(source) else None


def _source(home: ModuleType) -> str:
    """Return the hash of a module's file; empty where there is none (a notebook, a zip)."""
    try:
        return hashlib.sha256(Path(home.__file__ or "").read_bytes()).hexdigest()
    except (OSError, AttributeError):
        return ""


def _from_toml(path: Path) -> Recipe:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise CalibrationError(f"{path} is no TOML file: {first_line(error)}") from error
    problem = _problem(given)
    if problem:
        raise CalibrationError(f"{path}: {problem}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    return replace(Recipe(str(path)), **values)


def _problem(given: dict[str, Any]) -> str:
    """Return what is wrong with a recipe's settings, in one phrase; else empty."""
    known = Recipe("").settings
    strange = sorted(set(given) - set(known))
    if strange:
        return f"unknown setting {strange[0]}; known are {', '.join(known)}"
    for key, value in given.items():
        if not _CHECKS[key](value):
            return f"{key} cannot be {value!r}"
    return ""


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _size(value: Any) -> bool:
    pair = isinstance(value, list) and len(value) == 2 and all(map(_length, value))
    return _length(value) or pair


def _channels(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (1, 3) and all(map(_number, value))


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "resize": _size,
    "crop": _size,
    "layout": lambda value: value in ("auto", "NCHW", "NHWC"),
    "channel_order": lambda value: value in ("RGB", "BGR"),
    "scale": lambda value: _number(value) and value != 0,
    "mean": _channels,
    "std": lambda value: _channels(value) and all(value),
}
