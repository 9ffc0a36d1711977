"""A real network with an exact ground truth: demosaicking of Bayer mosaics.

A camera's sensor sees one colour at each pixel, in the pattern

    G R
    B G

and demosaicking is guessing the two that are missing. Mosaic a photo, and the photo itself says
how good the guess is. The network is that of Gharbi et al., "Deep Joint Demosaicking and
Denoising", SIGGRAPH Asia 2016, as the package `demosaicnet` ships it, rebuilt here because the
package's own code needs a `pkg_resources` that is gone.

    rankwise layers demosaicking:network
    rankwise plan demosaicking:network --preprocess demosaicking:mosaic ...
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from assets import fetch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

FloatArray = NDArray[np.float32]
ByteImage = NDArray[np.uint8]
"""(H, W, 3)."""

SIZE = 128
"""Height and width of the mosaics that the examples run the network on."""

BORDER = 31
"""Outputs nearer to the edge than this see padding. The released network drops them; here
the mosaic is padded with zeros so that output and input are of the same size, which changes no
other pixel."""

DEPTH, WIDTH = 15, 64


class BayerDemosaick(nn.Module):
    """(N, 3, H, W) mosaics with zeros where nothing was seen -> (N, 3, H, W) pictures.

    Values lie in [0, 1]; H and W are even. The mosaic is packed into four planes of half the
    size, on which all but the last two convolutions work. The state's names are the package's.
    """

    input_shape = (1, 3, SIZE, SIZE)

    def __init__(self) -> None:
        super().__init__()
        self.main_processor = nn.Sequential(_main_layers())
        self.residual_predictor = nn.Conv2d(WIDTH, 12, 1)
        self.upsampler = nn.ConvTranspose2d(12, 3, 2, stride=2, groups=3)
        self.fullres_processor = nn.Sequential(
            OrderedDict[str, nn.Module](
                post_conv=nn.Conv2d(6, WIDTH, 3, padding=1),
                post_relu=nn.ReLU(),
                output=nn.Conv2d(WIDTH, 3, 1),
            )
        )

    def forward(self, mosaic: Tensor) -> Tensor:
        filters, masks = self.main_processor(mosaic).chunk(2, dim=1)
        residual = self.upsampler(self.residual_predictor(filters * masks))
        pictures: Tensor = self.fullres_processor(torch.cat([mosaic, residual], dim=1))
        return pictures


def _main_layers() -> OrderedDict[str, nn.Module]:
    layers = OrderedDict[str, nn.Module](pack_mosaic=nn.Conv2d(3, 4, 2, stride=2))
    widths = [4, *[WIDTH] * (DEPTH - 1), 2 * WIDTH]
    for number, (before, after) in enumerate(itertools.pairwise(widths), 1):
        layers[f"conv{number}"] = nn.Conv2d(before, after, 3, padding=1)
        layers[f"relu{number}"] = nn.ReLU()
    return layers


def network() -> BayerDemosaick:
    """The network with its released weights."""
    module = BayerDemosaick()
    state = torch.load(fetch("bayer.pth"), map_location="cpu", weights_only=True)
    module.load_state_dict(state)
    return module.eval()


def mosaic(image: ByteImage) -> FloatArray:
    """What the network takes: the mosaic (3, SIZE, SIZE) of the middle of a photo (H, W, 3).

    No pixel is resampled: what demosaicking has to deal with is the finest detail.
    """
    height, width = image.shape[:2]
    if min(height, width) < SIZE:
        raise ValueError(f"a photo of {height}x{width} is smaller than {SIZE}x{SIZE}")
    top, left = (height - SIZE) // 2, (width - SIZE) // 2
    return bayer(truth(image[top : top + SIZE, left : left + SIZE]))


mosaic.resizes = False  # type: ignore[attr-defined]  # so windows are taken all over a photo


def truth(image: ByteImage) -> FloatArray:
    """A photo (H, W, 3) as what demosaicking should give back: (3, H, W) in [0, 1]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)


def bayer(picture: FloatArray) -> FloatArray:
    """The mosaic of a picture (3, H, W): at each pixel one colour kept, the others zero."""
    result = np.zeros_like(picture)
    red, green, blue = 0, 1, 2
    for colour, row, column in ((green, 0, 0), (red, 0, 1), (blue, 1, 0), (green, 1, 1)):
        result[colour, row::2, column::2] = picture[colour, row::2, column::2]
    return result


def bilinear(mosaics: FloatArray) -> FloatArray:
    """The classical guess, to compare with: each colour the mean of its nearest neighbours."""
    cross = torch.tensor([[0.0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    square = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    kernels = torch.stack([square, cross, square])[:, None]
    padded = nn.functional.pad(torch.from_numpy(mosaics), (1, 1, 1, 1), mode="reflect")
    result: FloatArray = nn.functional.conv2d(padded, kernels, groups=3).numpy()
    return result


def read_photo(path: Path) -> ByteImage:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def corners(image: ByteImage, size: int = SIZE) -> list[tuple[int, int]]:
    """Row and column of the first pixel of each square when the photo is cut into squares side by
    side, what is left over being shared by both edges."""
    rows, columns = (length // size for length in image.shape[:2])
    top, left = (image.shape[0] - rows * size) // 2, (image.shape[1] - columns * size) // 2
    return [(top + r * size, left + c * size) for r in range(rows) for c in range(columns)]


Restore = Callable[[FloatArray], NDArray[Any]]
"""From mosaics (N, 3, H, W) to pictures of the same shape."""


def psnr(restored: FloatArray, pictures: FloatArray) -> float:
    """Peak signal-to-noise ratio in dB over all of `restored` (N, 3, H, W), against the pictures
    themselves. Values are clipped to [0, 1]; `BORDER` is left out."""
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    difference = np.clip(restored, 0, 1)[inner].astype(np.float64) - pictures[inner]
    error = float(np.mean(difference**2))
    return -10 * math.log10(error) if error else math.inf
