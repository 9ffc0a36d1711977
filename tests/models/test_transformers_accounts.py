"""Every parameter of small networks of the transformers package is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rankwise.models.source import network_of_module
from rankwise.workflow.inspect import layers

COMMON = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
TEXT = {**COMMON, "vocab_size": 11}
SEEN = {**COMMON, "image_size": 16, "patch_size": 8}
WORDS, PICTURE = ("inputs_embeds", (1, 5, 16)), ("pixel_values", (1, 3, 16, 16))


def gpt2(of: Any) -> nn.Module:
    config = of.GPT2Config(
        n_embd=16, n_layer=1, n_head=2, n_positions=8, vocab_size=11, use_cache=False,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return of.GPT2Model(config)


def wav2vec2(of: Any) -> nn.Module:
    config = of.Wav2Vec2Config(
        **COMMON, conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 2),
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, num_feat_extract_layers=2,
    )  # fmt: skip
    return of.Wav2Vec2Model(config)


def whisper(of: Any) -> nn.Module:
    config = of.WhisperConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=8,
        max_source_positions=20, vocab_size=20, pad_token_id=1, bos_token_id=2, eos_token_id=3,
        decoder_start_token_id=2,
    )  # fmt: skip
    return of.WhisperModel(config).encoder


def swin(of: Any) -> nn.Module:
    config = of.SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4
    )
    return of.SwinModel(config)


def convnext(of: Any) -> nn.Module:
    return of.ConvNextModel(of.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2))


NETWORKS: dict[str, tuple[Callable[[Any], nn.Module], tuple[str, tuple[int, ...]]]] = {
    "gpt2": (gpt2, WORDS),
    "bert": (lambda of: of.BertModel(of.BertConfig(**TEXT, max_position_embeddings=8)), WORDS),
    "roberta": (
        lambda of: of.RobertaModel(of.RobertaConfig(**TEXT, max_position_embeddings=8)),
        WORDS,
    ),
    "llama": (
        lambda of: of.LlamaModel(
            of.LlamaConfig(**TEXT, use_cache=False, bos_token_id=0, eos_token_id=0)
        ),
        WORDS,
    ),
    "vit": (lambda of: of.ViTModel(of.ViTConfig(**SEEN)), PICTURE),
    "clip": (lambda of: of.CLIPVisionModel(of.CLIPVisionConfig(**SEEN)), PICTURE),
    "mobilenet": (
        lambda of: of.MobileNetV2Model(of.MobileNetV2Config(image_size=32)),
        ("pixel_values", (1, 3, 32, 32)),
    ),
    "swin": (swin, ("pixel_values", (1, 3, 32, 32))),
    "convnext": (convnext, ("pixel_values", (1, 3, 32, 32))),
    "wav2vec2": (wav2vec2, ("input_values", (1, 400))),
    "whisper": (whisper, ("input_features", (1, 8, 40))),
}


class OneInput(nn.Module):
    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, x: Tensor) -> Tensor:
        return self.model(**{self.name: x}).last_hidden_state


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_all_is_accounted_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    make, (keyword, shape) = NETWORKS[name]
    made = make(transformers)
    made.set_attn_implementation("eager")  # torch's counter knows no other on processors
    module = OneInput(made, keyword).eval()
    document = layers(network_of_module(module, shape))
    counts = document.parameters
    assert counts.total == sum(p.numel() for p in module.parameters())
    others = sum(one.parameters for one in counts.others)
    assert counts.decomposable + counts.other_layers + others == counts.total
    # The lengths of weight norm are the layer's, but no parameters of the plain layer.
    lengths = (p for n, p in module.named_parameters() if n.endswith("weight.original0"))
    of_layers = counts.total - others - sum(one.numel() for one in lengths)
    assert sum(one.params for one in document.layers) == of_layers
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(shape))
    macs = sum(one.macs for one in document.layers) + counts.products_macs
    assert 2 * macs == counter.get_total_flops()
