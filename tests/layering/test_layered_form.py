"""Networks whose layers are inside other modules: read, measured and replaced like any others."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rankwise.lowrank import factorizer, full_ranks, lower
from rankwise.models.chain_files import load
from rankwise.models.network import only
from rankwise.models.source import network_of_module
from rankwise.models.torch_network import TorchNetwork
from rankwise.records import Decomposition

SHAPE = (2, 5, 8)


class Encoders(nn.Module):
    """Torch's own encoder and decoder: (n, 5, 8) -> (n, 5, 8)."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        settings = {"dim_feedforward": 16, "batch_first": batch_first}
        encoder = nn.TransformerEncoderLayer(8, 2, **settings)
        self.encoder = nn.TransformerEncoder(encoder, 1, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, **settings), 1)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.batch_first else x.transpose(0, 1)
        x = self.decoder(x.sin(), self.encoder(x))
        return x if self.batch_first else x.transpose(0, 1)


class Different(nn.Module):
    """Attention whose three inputs have three sizes, with masks, that answers its weights too."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            8, 2, kdim=6, vdim=7, add_bias_kv=True, batch_first=True
        )
        self.hidden = torch.ones(5, 5).triu(1).bool()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.attention(x, x[..., :6], x[..., :7], attn_mask=self.hidden)


class Own(nn.MultiheadAttention):
    def forward(self, *inputs, **given):
        return super().forward(*inputs, **given)


class Looking(nn.Module):
    """Asks its attention for its packed weight."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.attention.in_proj_weight.dtype)
        return self.attention(x, x, x)[0]


class Calling(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x, x)[0]


def network_of(module: nn.Module, *shape: int) -> TorchNetwork:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    network = network_of_module(module.eval(), shape)
    assert isinstance(network, TorchNetwork)
    return network


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def with_share(network: TorchNetwork, share: float, *names: str) -> TorchNetwork:
    """The network with the named layers (all, if none is) as svd at that share of full rank."""
    made = {}
    for use in network.layers:
        if use.spec is None or (names and use.name not in names):
            continue
        ranks = tuple(max(1, int(share * full)) for full in full_ranks(use.spec, "svd"))
        links = factorizer(use.spec, "svd", *network.weights(use.name)).at(ranks)
        made[use.name] = lower(use.spec, Decomposition("svd", ranks)), links
    return network.replaced(made)


def outputs(network: TorchNetwork, inputs: np.ndarray) -> dict[str, np.ndarray]:
    return dict(network.outputs(inputs))


NETWORKS = {
    "batch first": lambda: network_of(Encoders(), *SHAPE),
    "steps first": lambda: network_of(Encoders(batch_first=False), *SHAPE),
    "different sizes": lambda: network_of(Different(), *SHAPE),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_every_projection_is_a_layer_that_can_be_replaced(make):
    network = make()
    inputs, before = noise(*SHAPE), outputs(network, noise(*SHAPE))
    assert not any(use.reason for use in network.layers)
    for use in network.layers:
        assert use.spec is not None
        exact, small = (with_share(network, share, use.name) for share in (1.0, 0.3))
        for name, one in outputs(exact, inputs).items():
            np.testing.assert_allclose(one, before[name], rtol=1e-3, atol=1e-4)
        changed = outputs(small, inputs)
        assert any(not np.allclose(changed[name], before[name], atol=1e-4) for name in before)


def test_names_follow_how_an_attention_is_called():
    names = [use.name for use in network_of(Encoders(), *SHAPE).layers]
    assert names == [
        *(f"encoder.layers.0.{one}" for one in ("self_attn.in_proj", "self_attn.out_proj")),
        *(f"encoder.layers.0.{one}" for one in ("linear1", "linear2")),
        *(f"decoder.layers.0.{one}" for one in ("self_attn.in_proj", "self_attn.out_proj")),
        *(f"decoder.layers.0.multihead_attn.{one}" for one in ("q_proj", "kv_proj", "out_proj")),
        *(f"decoder.layers.0.{one}" for one in ("linear1", "linear2")),
    ]
    names = [use.name for use in network_of(Different(), *SHAPE).layers]
    assert names == [f"attention.{one}_proj" for one in ("q", "k", "v", "out")]


def test_moments_are_those_of_what_the_projections_see():
    network = network_of(Encoders(), *SHAPE)
    inputs = noise(*SHAPE)
    name = "encoder.layers.0.self_attn.in_proj"
    found = network.moments(inputs, {name: ["patches", "outputs"]})
    rows = inputs.reshape(-1, 8)
    np.testing.assert_allclose(found[name, "patches"].mean, rows.mean(axis=0), atol=1e-5)
    weight, bias = network.weights(name)
    answers = rows @ weight.T + bias
    np.testing.assert_allclose(found[name, "outputs"].mean, answers.mean(axis=0), atol=1e-4)


def test_what_is_not_replaced_stays_what_it_was():
    network = network_of(Encoders(), *SHAPE)
    before = network.sha256, network.module.state_dict().keys()
    made = with_share(network, 0.5, "encoder.layers.0.linear1")
    assert type(made.module.encoder.layers[0].self_attn) is nn.MultiheadAttention
    made = with_share(network, 0.5, "encoder.layers.0.self_attn.out_proj")
    assert type(made.module.decoder.layers[0].self_attn) is nn.MultiheadAttention
    state = made.module.state_dict()
    assert "encoder.layers.0.self_attn.in_proj.weight" in state
    assert "encoder.layers.0.self_attn.out_proj.1.bias" in state
    assert (network.sha256, network.module.state_dict().keys()) == before
    names = [use.name for use in made.layers[:3]]
    assert names == [
        f"encoder.layers.0.self_attn.{one}" for one in ("in_proj", "out_proj.0", "out_proj.1")
    ]


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.slow
def test_networks_with_replaced_projections_are_written(make, tmp_path):
    network = make()
    made = with_share(network, 0.5)
    inputs, wanted = noise(*SHAPE), list(outputs(with_share(network, 0.5), noise(*SHAPE)).values())
    session = onnxruntime.InferenceSession(made.save(tmp_path / "net.onnx"))
    answers = session.run(None, {session.get_inputs()[0].name: inputs})
    program = torch.export.load(made.save(tmp_path / "net.pt2")).module()
    again = program(torch.from_numpy(inputs))
    again = again if isinstance(again, tuple) else (again,)
    for one, answer, other in zip(wanted, answers, again, strict=True):
        np.testing.assert_allclose(answer, one, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(other.detach().numpy(), one, rtol=1e-3, atol=1e-4)
    state = load_file(made.save(tmp_path / "net.safetensors"))
    assert state.keys() == made.module.state_dict().keys()


def test_attention_that_computes_in_its_own_way_is_listed_with_the_reason():
    network = network_of(Calling(Own(8, 2, batch_first=True)), *SHAPE)
    reasons = {use.name: use.reason for use in network.layers}
    assert "in its own way" in reasons["layer"]
    assert network.accounts.total == sum(p.numel() for p in network.module.parameters())


def test_attention_whose_packed_weight_is_asked_for_stays():
    network = network_of(Looking(), *SHAPE)
    assert not any(use.spec for use in network.layers)
    assert only(network.outputs(noise(*SHAPE))).shape == SHAPE


def test_a_gradient_reaches_every_projection():
    network = network_of(Encoders(), *SHAPE)
    part = network.differentiable()
    assert all(part.part(use.name) is not None for use in network.layers)


class Floating(nn.Module):
    """GPT-2 behind its embeddings."""

    def __init__(self) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        config = GPT2Config(
            n_embd=8, n_layer=1, n_head=2, n_positions=8, vocab_size=11, use_cache=False
        )
        self.model = GPT2Model(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(inputs_embeds=x).last_hidden_state


@pytest.mark.slow
def test_the_transposed_linear_layers_of_gpt2(tmp_path):
    network = network_of(Floating(), *SHAPE)
    names = [use.name for use in network.layers]
    expected = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert names == [f"model.h.0.{one}" for one in expected]
    assert not any(use.reason for use in network.layers)
    weight, bias = network.weights("model.h.0.attn.c_attn")
    assert weight.shape == (24, 8)
    assert bias.shape == (24,)
    inputs = noise(*SHAPE)
    before = only(network.outputs(inputs))
    exact, small = with_share(network, 1.0), with_share(network, 0.4)
    np.testing.assert_allclose(only(exact.outputs(inputs)), before, rtol=1e-3, atol=1e-4)
    wanted = only(small.outputs(inputs))
    assert not np.allclose(wanted, before, atol=1e-3)
    session = onnxruntime.InferenceSession(small.save(tmp_path / "net.onnx"))
    (answer,) = session.run(None, {session.get_inputs()[0].name: inputs})
    np.testing.assert_allclose(answer, wanted, rtol=1e-3, atol=1e-4)
    replaced = small.module.get_submodule(names[0])
    assert (replaced.nf, replaced.weight.shape) == (24, (8, 24))
    assert network.accounts.total == sum(p.numel() for p in network.module.parameters())


def test_another_module_of_that_name_is_not_taken_for_one():
    class Conv1D(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(8, 3)), nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return 2 * (x @ self.weight) + self.bias

    network = network_of(nn.Sequential(Conv1D()), *SHAPE)
    (use,) = network.layers
    assert use.name == "0.weight"  # the product of its functional call
    assert use.spec is not None
    assert not use.spec.bias


@pytest.mark.parametrize("part", ["q_proj", "out_proj"])
def test_a_network_that_is_one_attention(part, tmp_path):
    module = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    given = dict(zip(("query", "key", "value"), torch.randn(3, 2, 5, 8), strict=True))
    network = network_of_module(module, given)
    exact = with_share(network, 1.0, part).module(**given)
    torch.testing.assert_close(exact[0], module(**given)[0], rtol=1e-4, atol=1e-4)
    smaller = with_share(network, 0.3, part)
    file = smaller.save(tmp_path / "attention.safetensors")
    torch.testing.assert_close(load(file, module)(**given), smaller.module(**given))
