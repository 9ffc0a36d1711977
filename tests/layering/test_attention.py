"""`LayeredAttention` against torch's own attention, in all the ways that it can be called."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from rankwise.layering.attention import PACKED, SEPARATE, SHARED, LayeredAttention

SIZE, HEADS, STEPS, KEYS, BATCH = 8, 2, 5, 4, 3


def attention(**settings) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    made = nn.MultiheadAttention(SIZE, HEADS, **settings).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def assert_same(one: nn.Module, other: nn.Module, *inputs, **given) -> None:
    with torch.no_grad():
        for first, second in zip(one(*inputs, **given), other(*inputs, **given), strict=True):
            assert (first is None) == (second is None)
            if first is not None:
                torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("more", [{}, {"add_bias_kv": True}, {"add_zero_attn": True}], ids=str)
@pytest.mark.parametrize("batch_first", [True, False])
def test_every_form_serves_every_pattern_of_inputs(bias, more, batch_first):
    whole = attention(bias=bias, batch_first=batch_first, **more)
    x, y, z = torch.randn(3, BATCH, STEPS, SIZE).unbind()
    for form, inputs in itertools.product(
        (PACKED, SHARED, SEPARATE), ((x, x, x), (x, y, y), (x, x, y), (x, y, z))
    ):
        made = LayeredAttention(whole, form)
        for weights in ({}, {"need_weights": False}, {"average_attn_weights": False}):
            assert_same(whole, made, *inputs, **weights)


def masks():
    hidden = torch.zeros(STEPS, KEYS, dtype=torch.bool)
    hidden[:, -1] = hidden[0, 0] = True
    added = torch.randn(BATCH * HEADS, STEPS, KEYS)
    padding = torch.zeros(BATCH, KEYS, dtype=torch.bool)
    padding[1, 2:] = True
    yield {"attn_mask": hidden}
    yield {"attn_mask": added}
    yield {"key_padding_mask": padding}
    yield {"key_padding_mask": padding, "attn_mask": hidden}
    yield {"key_padding_mask": torch.randn(BATCH, KEYS), "attn_mask": added}


@pytest.mark.parametrize("given", list(masks()), ids=lambda given: "-".join(given))
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("more", [{}, {"add_bias_kv": True, "add_zero_attn": True}], ids=str)
def test_masks(given, need_weights, more):
    whole = attention(batch_first=True, **more)
    query, key = torch.randn(BATCH, STEPS, SIZE), torch.randn(BATCH, KEYS, SIZE)
    made = LayeredAttention(whole, SHARED)
    assert_same(whole, made, query, key, key, need_weights=need_weights, **given)


def test_causal_hints():
    whole = attention(batch_first=True)
    x, made = torch.randn(BATCH, STEPS, SIZE), LayeredAttention(whole, PACKED)
    mask = nn.Transformer.generate_square_subsequent_mask(STEPS)
    for need_weights in (True, False):
        given = {"attn_mask": mask, "is_causal": True, "need_weights": need_weights}
        assert_same(whole, made, x, x, x, **given)


def test_one_example_without_a_batch():
    whole = attention(batch_first=True)
    x, y = torch.randn(STEPS, SIZE), torch.randn(KEYS, SIZE)
    padding = torch.tensor([False, False, True, True])
    made = LayeredAttention(whole, SEPARATE)
    assert_same(whole, made, x, y, y, key_padding_mask=padding)
    assert_same(whole, made, x, y, y, need_weights=False)


def test_keys_and_values_of_other_sizes():
    whole = attention(kdim=6, vdim=7, batch_first=True)
    inputs = [torch.randn(BATCH, STEPS, size) for size in (SIZE, 6, 7)]
    assert_same(whole, LayeredAttention(whole, SEPARATE), *inputs)


def test_weights_are_shared_and_all_there():
    whole = attention(add_bias_kv=True)
    made = LayeredAttention(whole, PACKED)
    assert made.in_proj.weight.data_ptr() == whole.in_proj_weight.data_ptr()
    assert made.out_proj.weight.data_ptr() == whole.out_proj.weight.data_ptr()
    count = sum(p.numel() for p in made.parameters())
    assert count == sum(p.numel() for p in whole.parameters())


def test_dropout_is_drawn_in_training_only():
    whole = attention(dropout=0.5, batch_first=True)
    made = LayeredAttention(whole, PACKED)
    x = torch.randn(BATCH, STEPS, SIZE)
    assert_same(whole, made, x, x, x)
    made.train()
    assert not torch.equal(made(x, x, x)[0], made(x, x, x)[0])
