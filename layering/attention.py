"""`nn.MultiheadAttention` with its projections as linear layers of their own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PACKED, SHARED, SEPARATE = ("in_proj",), ("q_proj", "kv_proj"), ("q_proj", "k_proj", "v_proj")
"""The projections of an attention whose query is its key and value, whose key is its value, or
whose three inputs differ: as many products as torch makes of its packed weight."""


class LayeredAttention(nn.Module):
    """Computes what `nn.MultiheadAttention` does, with the same arguments and answers.

    Its projections (`in_proj`; `q_proj`, `kv_proj`; or `q_proj`, `k_proj`, `v_proj`) and `out_proj`
    are layers that may be replaced. They share memory with the weights of `attention`. Inputs other
    than those that `form` is made for are right, too, at the cost of products that nobody needs.
    Tensors of tensors (`torch.nested`) are not taken.
    """

    in_proj_weight = in_proj_bias = None
    _qkv_same_embed_dim = False
    """What torch's transformer layers ask before they compute with packed weights themselves."""

    def __init__(self, attention: nn.MultiheadAttention, form: tuple[str, ...]) -> None:
        super().__init__()
        self.embed_dim, self.kdim, self.vdim = attention.embed_dim, attention.kdim, attention.vdim
        self.num_heads, self.head_dim = attention.num_heads, attention.head_dim
        self.dropout, self.batch_first = attention.dropout, attention.batch_first
        self.add_zero_attn = attention.add_zero_attn
        self.form = form
        for name, layer in zip(form, _projections(attention, form), strict=True):
            self.add_module(name, layer)
        self.out_proj = linear_with(attention.out_proj.weight, attention.out_proj.bias)
        self.bias_k, self.bias_v = attention.bias_k, attention.bias_v
        self.train(attention.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if is_causal and attn_mask is None:
            raise ValueError("is_causal needs attn_mask")
        batched, steps_first = query.dim() == 3, query.dim() == 3 and not self.batch_first
        q, k, v = self._projected(query, key, value)
        if not batched:
            q, k, v = q[None], k[None], v[None]
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif steps_first:
            q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)
        unmasked = is_causal and key_padding_mask is None and not need_weights
        mask = None if unmasked else self._mask(attn_mask, key_padding_mask, q)
        q, k, v, mask = self._extended(q, k, v, mask)
        heads, weights = self._attended(q, k, v, mask, need_weights, unmasked)
        output = self.out_proj(heads.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if not batched:
            return output.squeeze(0), None if weights is None else weights.squeeze(0)
        return output.transpose(0, 1) if steps_first else output, weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        layers = [self.get_submodule(name) for name in self.form]
        if self.form == PACKED:
            same = query is key and key is value
            parts = layers[0](query).chunk(3, dim=-1)
            others = (layers[0](one).chunk(3, dim=-1) for one in (() if same else (key, value)))
            return parts if same else (parts[0], *(one[n] for n, one in enumerate(others, start=1)))
        if self.form == SHARED:
            q, (k, v) = layers[0](query), layers[1](key).chunk(2, dim=-1)
            return q, k, v if key is value else layers[1](value).chunk(2, dim=-1)[1]
        return tuple(layer(one) for layer, one in zip(layers, (query, key, value), strict=True))

    def _mask(
        self, attn_mask: Tensor | None, padding: Tensor | None, like: Tensor
    ) -> Tensor | None:
        """Return what is added to the scores (batch, heads, queries, keys), or spread to that."""
        mask = None if attn_mask is None else _added(attn_mask, like)
        if mask is not None and mask.dim() == 3:
            mask = mask.view(-1, self.num_heads, *mask.shape[1:])
        if padding is None:
            return mask
        added = _added(padding, like)[:, None, None]
        return added if mask is None else mask + added

    def _extended(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Divide into heads (batch, heads, steps, size); add the learned key and value, and the one
        of zeros, which no mask hides."""
        more = 0
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(len(k), -1, -1)], dim=1)
            v = torch.cat([v, self.bias_v.expand(len(v), -1, -1)], dim=1)
            more += 1
        q, k, v = (
            one.view(*one.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)
            for one in (q, k, v)
        )
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
            more += 1
        return q, k, v, mask if mask is None or not more else F.pad(mask, (0, more))

    def _attended(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        need_weights: bool,
        causal: bool,
    ) -> tuple[Tensor, Tensor | None]:
        dropout = self.dropout if self.training else 0.0
        if not need_weights:
            attended = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal)
            return attended, None
        scores = (q * math.sqrt(1.0 / q.shape[-1])) @ k.transpose(-2, -1)
        weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
        weights = F.dropout(weights, dropout) if dropout else weights
        return weights @ v, weights


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask as numbers that are added: minus infinity where a boolean one hides."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill_(mask, float("-inf"))


def _projections(attention: nn.MultiheadAttention, form: tuple[str, ...]) -> list[nn.Linear]:
    bias: Tensor | None = attention.in_proj_bias
    if "in_proj_weight" not in dict(attention.named_parameters()):
        weights = [attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight]
        biases = [None] * 3 if bias is None else list(bias.chunk(3))
        return list(map(linear_with, weights, biases))
    size = attention.embed_dim
    parts = {PACKED: [3 * size], SHARED: [size, 2 * size], SEPARATE: [size] * 3}[form]
    whole = torch.split(attention.in_proj_weight, parts)
    biases = [None] * len(parts) if bias is None else list(torch.split(bias, parts))
    return list(map(linear_with, whole, biases))


def linear_with(
    weight: Tensor, bias: Tensor | None, kind: type[nn.Linear] = nn.Linear
) -> nn.Linear:
    """Return a linear layer that shares the memory of its weight (out, in) and bias."""
    with torch.device("meta"):  # no numbers are drawn
        layer = kind(weight.shape[1], weight.shape[0], bias is not None)
    layer.weight = nn.Parameter(weight.detach(), weight.requires_grad)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), bias.requires_grad)
    return layer
