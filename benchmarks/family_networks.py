"""Six networks of families other than picture classifiers, with drawn weights.

    rankwise layers family_networks:unet        # with benchmarks/ on PYTHONPATH

Text, sound, spectrogram, segmentation, video and detection. Weights are the same everywhere, with
singular values that fall off as those of trained layers do, so that there is something to
decompose; the example inputs are what each is profiled with.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from detector import falling
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (32, 64, 128, 256)
"""Channels of the stages of a U-Net and of the video network."""
PYRAMID, ANCHORS, CLASSES = 64, 3, 20
"""Channels of the detector's features, and what its head says of each place."""


class UNet(nn.Module):
    """(N, 3, H, W) -> (N, 2, H, W): down in stages, up again by transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _twice(3, WIDTHS[0])
        self.down = nn.ModuleList(_twice(before, after) for before, after in pairwise(WIDTHS))
        back = list(pairwise(WIDTHS[::-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(large, small, 2, 2) for large, small in back)
        self.joined = nn.ModuleList(_twice(2 * small, small) for _, small in back)
        self.last = nn.Conv2d(WIDTHS[0], 2, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        x, kept = self.first(pictures), []
        for stage in self.down:
            kept.append(x)
            x = stage(F.max_pool2d(x, 2))
        for up, joined in zip(self.up, self.joined, strict=True):
            x = joined(torch.cat([up(x), kept.pop()], 1))
        result: Tensor = self.last(x)
        return result


class Video(nn.Module):
    """(N, 3, frames, H, W) -> (N, 10), three-dimensional convolutions in stages."""

    def __init__(self) -> None:
        super().__init__()
        stages = [nn.Sequential(nn.Conv3d(3, WIDTHS[0], 3, padding=1), nn.ReLU())]
        for before, after in pairwise(WIDTHS):
            down = nn.Conv3d(before, after, 3, stride=2, padding=1)
            stages.append(nn.Sequential(down, nn.ReLU()))
        self.stages, self.last = nn.Sequential(*stages), nn.Linear(WIDTHS[-1], 10)

    def forward(self, clips: Tensor) -> Tensor:
        result: Tensor = self.last(self.stages(clips).mean((2, 3, 4)))
        return result


class Detector(nn.Module):
    """(N, 3, H, W) -> boxes and scores, one head for features of three sizes, as in RetinaNet."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 256)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.ReLU())
            for before, after in pairwise(widths)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(width, PYRAMID, 1) for width in widths[2:])
        self.boxes = _head(4 * ANCHORS)
        self.scores = _head(CLASSES * ANCHORS)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        x, features = pictures, []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        levels = [side(x) for side, x in zip(self.lateral, features[1:], strict=True)]
        boxes = torch.cat([self.boxes(level).flatten(2) for level in levels], 2)
        scores = torch.cat([self.scores(level).flatten(2) for level in levels], 2)
        return {"boxes": boxes, "scores": scores}


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    first, second = nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


def _head(outputs: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(2):
        parts += [nn.Conv2d(PYRAMID, PYRAMID, 3, 1, 1), nn.ReLU()]
    return nn.Sequential(*parts, nn.Conv2d(PYRAMID, outputs, 3, 1, 1))


def bert() -> nn.Module:
    """Four layers of 256, 64 tokens."""
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}
    config = BertConfig(num_hidden_layers=4, vocab_size=1000, **sizes)
    ids = torch.from_numpy(np.random.default_rng(0).integers(1, 1000, (1, 64)))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return _drawn(BertModel(config), inputs)


def wav2vec2() -> nn.Module:
    """Two layers of 256 after seven convolutions of 128, half a second of sound."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}
    convolutions = {"conv_dim": (128,) * 7, "num_conv_pos_embeddings": 32}
    config = Wav2Vec2Config(num_hidden_layers=2, **sizes, **convolutions)
    return _drawn(Wav2Vec2Model(config), {"input_values": _noise(1, 8000)})


def whisper_encoder() -> nn.Module:
    """Two layers of 256 after two convolutions, a spectrogram of 200 steps."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(
        d_model=256, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=1024,
        num_mel_bins=40, max_source_positions=100,
    )  # fmt: skip
    return _drawn(WhisperEncoder(config), {"input_features": _noise(1, 40, 200)})


def unet() -> nn.Module:
    return _drawn(UNet(), {"pictures": _noise(1, 3, 128, 128)})


def video() -> nn.Module:
    return _drawn(Video(), {"clips": _noise(1, 3, 8, 32, 32)})


def retinanet() -> nn.Module:
    return _drawn(Detector(), {"pictures": _noise(1, 3, 128, 128)})


def _noise(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))


LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)


@torch.no_grad()
def _drawn(module: nn.Module, inputs: dict[str, Tensor]) -> nn.Module:
    """The module with weights drawn for its layers, and its example inputs."""
    rng = np.random.default_rng(0)
    for part in module.modules():
        if isinstance(part, LAYERS) and not hasattr(part, "parametrizations"):
            part.weight.copy_(torch.from_numpy(falling(part.weight.shape, rng)))
    made: Any = module.eval()
    made.example_inputs = inputs
    return module


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    one.__name__: one for one in (bert, wav2vec2, whisper_encoder, unet, video, retinanet)
}
