"""Small networks that take other things than one picture, as users write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

TOKENS, LENGTH = 60, 12


def seeded(make: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module: nn.Module = make()
    return module.eval()


class TwoPictures(nn.Module):
    """Two convolutional branches, and a scale that is the same for all."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(1, 16, 3, padding=1)
        self.body, self.head = nn.Conv2d(16, 16, 3, padding=1), nn.Linear(16, 5)

    def forward(self, picture: Tensor, depth: Tensor, scale: Tensor) -> Tensor:
        both = (self.left(picture) + scale * self.right(depth)).relu()
        return self.head(self.body(both).relu().mean((2, 3)))


def two_pictures() -> nn.Module:
    return seeded(TwoPictures)


def pictures_example() -> tuple[Tensor, ...]:
    return torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8), torch.tensor(0.5)


two_pictures.example_inputs = pictures_example  # type: ignore[attr-defined]


class InDicts(nn.Module):
    """Takes a dict with a nested one, and answers a dict that holds a list of dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(TOKENS, 24), nn.Linear(24, 24)
        self.of_numbers, self.head = nn.Linear(7, 24), nn.Linear(24, 6)

    def forward(self, batch: Mapping[str, Any], *, bias: Tensor | None = None) -> dict[str, Any]:
        words = self.mix(self.embed(batch["text"]["ids"])).relu()
        kept = batch["text"]["keep"][..., None]
        seen = torch.where(kept, words, 0.0).mean(1) + self.of_numbers(batch["numbers"])
        seen = seen if bias is None else seen + bias
        return {"scores": self.head(seen), "parts": [{"seen": seen}, {"kept": kept}]}


def in_dicts() -> nn.Module:
    return seeded(InDicts)


in_dicts.example_inputs = (  # type: ignore[attr-defined]
    {
        "text": {
            "ids": torch.arange(3 * LENGTH).reshape(3, LENGTH) % TOKENS,
            "keep": torch.ones(3, LENGTH, dtype=torch.bool),
        },
        "numbers": torch.ones(3, 7),
    },
)


def bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=TOKENS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LENGTH,
    )
    return seeded(lambda: BertModel(config))


bert.example_inputs = {  # type: ignore[attr-defined]
    "input_ids": torch.arange(2 * LENGTH).reshape(2, LENGTH) % TOKENS,
    "attention_mask": torch.ones(2, LENGTH, dtype=torch.int64),
}


def wav2vec() -> nn.Module:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16, 16),
        conv_stride=(5, 2),
        conv_kernel=(10, 3),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    return seeded(lambda: Wav2Vec2Model(config))


wav2vec.example_inputs = {"input_values": torch.zeros(2, 400)}  # type: ignore[attr-defined]


def whisper() -> nn.Module:
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(
        d_model=32,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        num_mel_bins=16,
        max_source_positions=20,
    )
    return seeded(lambda: WhisperEncoder(config))


whisper.example_inputs = torch.zeros(1, 16, 40)  # type: ignore[attr-defined]


class Behaves(nn.Module):
    """A convolution whose forward pass does something beside it, which `what` says."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.conv = what, nn.Conv2d(3, 8, 3)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(()))
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.what in ("counts", "notes"):
            self.seen += 1
            x = x * self.seen if self.what == "counts" else x
        if self.what == "lists":
            self.kept.append(x)
            x = torch.stack(self.kept).sum(0)
        if self.what == "changes":
            x.mul_(0.5).add_(1)
        if self.what == "draws":
            torch.rand([])
        if self.what == "noise":
            x = x + torch.rand_like(x)
        if self.what == "dropout":
            x = nn.functional.dropout(x)
        return self.drop(self.conv(x)).mean((2, 3))


def changes_its_input() -> nn.Module:
    return seeded(lambda: Behaves("changes"))


changes_its_input.input_shape = (2, 3, 8, 8)  # type: ignore[attr-defined]
