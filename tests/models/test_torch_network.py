from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rankwise.errors import ModelError
from rankwise.lowrank import Moments
from rankwise.models.fidelity import relative_error
from rankwise.models.network import only
from rankwise.models.source import network_of_module
from rankwise.records import LayerSpec


def spec_of(module: nn.Module, *shape: int) -> LayerSpec | None:
    return network_of_module(module, torch.zeros(shape)).layers[0].spec


def reason_of(module: nn.Module, *shape: int) -> str:
    use = network_of_module(module, torch.zeros(shape)).layers[0]
    assert use.spec is None
    return use.reason


class TestLayers:
    def test_order_names_and_specs(self, small_net):
        network = network_of_module(small_net, torch.zeros(2, 3, 9, 7))
        assert [use.name for use in network.layers] == ["stem", "body.0", "fc"]
        stem, body, fc = (use.spec for use in network.layers)
        assert stem == LayerSpec("conv2d", 3, 8, (3, 9, 7), (3, 3), padding=(1,) * 4, bias=False)
        assert body is not None
        assert body.bias
        assert body.weight_shape == (8, 8, 3, 3)
        assert fc == LayerSpec("linear", 8, 5, (8,))

    @settings(max_examples=30)
    @given(
        kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
        stride=st.integers(1, 3),
        padding=st.one_of(st.tuples(st.integers(0, 2), st.integers(0, 2)), st.just("same")),
        dilation=st.integers(1, 2),
        groups=st.sampled_from([1, 2]),
        bias=st.booleans(),
    )
    def test_shapes_are_what_torch_computes(self, kernel, stride, padding, dilation, groups, bias):
        if padding == "same":
            stride = 1
        conv = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups, bias)
        spec = spec_of(conv, 1, 4, 11, 9)
        assert spec is not None
        assert spec.output_shape == tuple(conv(torch.zeros(1, 4, 11, 9)).shape[1:])
        assert spec.weight_shape == tuple(conv.weight.shape)
        assert spec.params == sum(p.numel() for p in conv.parameters())

    def test_own_forward(self):
        class Scaled(nn.Conv2d):
            def forward(self, x):
                return 2 * super().forward(x)

        assert "Scaled" in reason_of(Scaled(3, 4, 3), 1, 3, 9, 9)

    def test_layer_that_is_never_called(self, small_net):
        small_net.spare = nn.Linear(3, 3)
        use = network_of_module(small_net, torch.zeros(1, 3, 8, 8)).layers[-1]
        assert (use.name, use.spec) == ("spare", None)
        assert "not called" in use.reason

    def test_shared_layer_appears_once(self):
        conv = nn.Conv2d(3, 3, 3, padding=1)
        network = network_of_module(nn.Sequential(conv, nn.ReLU(), conv), torch.zeros(1, 3, 8, 8))
        assert [use.name for use in network.layers] == ["0"]
        assert network.layers[0].spec is not None
        assert "2 times" in network.notes["0"]

    def test_layer_called_with_different_shapes_has_the_spec_of_each_call(self):
        conv = nn.Conv2d(3, 3, 3)
        (use,) = network_of_module(nn.Sequential(conv, conv), torch.zeros(1, 3, 8, 8)).layers
        large, small = (LayerSpec("conv2d", 3, 3, (3, n, n), (3, 3)) for n in (8, 6))
        assert (use.spec, use.calls) == (large, (large, small))

    @pytest.mark.parametrize("shape", [(2, 7, 4), (7, 2, 4), (14, 4)])
    def test_rows_of_a_linear_layer_count_wherever_the_batch_is(self, shape):
        class Rows(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(4, 3)

            def forward(self, x):
                return self.fc(x.reshape(shape)).reshape(2, 7, 3)

        spec = spec_of(Rows(), 2, 28)
        assert spec is not None
        assert spec.input_shape == (7, 4)

    def test_the_given_module_stays_as_it_is(self, small_net):
        small_net.train()
        before = {k: v.clone() for k, v in small_net.state_dict().items()}
        network = network_of_module(small_net, torch.zeros(1, 3, 8, 8))
        network.moments(np.ones((1, 3, 8, 8)), {"stem": ["outputs", "patches"]})
        assert small_net.training
        assert small_net.body.training
        assert not small_net.stem._forward_hooks
        assert not small_net.stem._forward_pre_hooks
        assert all(torch.equal(before[k], v) for k, v in small_net.state_dict().items())


class TestReplaced:
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize(
        "settings_",
        [
            {"padding": 1},
            {"padding": 1, "stride": 2},
            {"padding": 2, "dilation": 2},
            {"padding": "same", "kernel_size": (2, 4)},
            {"kernel_size": 1},
            {"kernel_size": (1, 5), "padding": (0, 2)},
            {"kernel_size": (4, 1), "stride": (1, 2)},
            {"in_channels": 6, "out_channels": 8, "groups": 2, "padding": 1},
            {"in_channels": 6, "out_channels": 8, "groups": 2, "kernel_size": 1},
        ],
    )
    def test_full_rank_reproduces_the_output(self, settings_, bias, full_rank, noise):
        options = {"in_channels": 5, "out_channels": 7, "kernel_size": 3, **settings_}
        module = nn.Sequential(nn.Conv2d(bias=bias, **options), nn.ReLU(inplace=True))
        shape = (2, options["in_channels"], 9, 8)
        network, inputs = network_of_module(module, shape), noise(*shape)
        replacements = full_rank(network)
        assert replacements
        for chosen in replacements:
            error = relative_error(
                only(network.outputs(inputs)), only(network.replaced(chosen).outputs(inputs))
            )
            assert error < 1e-4

    def test_residuals_batchnorm_and_linear(self, small_net, full_rank, noise):
        network = network_of_module(small_net, (1, 3, 9, 8))
        inputs = noise(3, 3, 9, 8)
        before, sha256 = only(network.outputs(inputs)), network.sha256
        for chosen in full_rank(network):
            compressed = network.replaced(chosen)
            assert relative_error(before, only(compressed.outputs(inputs))) < 1e-4
            assert compressed.sha256 != sha256
        assert network.sha256 == sha256
        assert np.array_equal(only(network.outputs(inputs)), before)

    def test_shared_layer_is_replaced_everywhere(self, full_rank, noise):
        conv = nn.Conv2d(4, 4, 3, padding=1)
        network = network_of_module(nn.Sequential(conv, nn.ReLU(), conv), (1, 4, 8, 8))
        inputs = noise(1, 4, 8, 8)
        compressed = network.replaced(full_rank(network)[0])
        parts = dict(compressed.module.named_modules(remove_duplicate=False))
        assert parts["0"] is parts["2"]
        assert isinstance(parts["0"], nn.Sequential)
        assert (
            relative_error(only(network.outputs(inputs)), only(compressed.outputs(inputs))) < 1e-4
        )

    def test_hooks_survive(self, small_net, full_rank):
        seen = []
        small_net.stem.register_forward_hook(lambda *_: seen.append("stem"))
        small_net.register_forward_hook(lambda *_: seen.append("net"))
        network = network_of_module(small_net, (1, 3, 8, 8))
        compressed = network.replaced(full_rank(network)[0])
        seen.clear()
        only(compressed.outputs(np.zeros((1, 3, 8, 8))))
        assert seen == ["stem", "net"]

    def test_layers_of_the_result_are_the_links(self, small_net, full_rank):
        network = network_of_module(small_net, (1, 3, 8, 8))
        chosen = {"body.0": full_rank(network)[0]["body.0"]}
        names = [use.name for use in network.replaced(chosen).layers]
        assert names[:3] == ["stem", "body.0.0", "body.0.1"]

    def test_a_chain_of_another_shape_is_refused(self, small_net, full_rank):
        network = network_of_module(small_net, (1, 3, 8, 8))
        chain = full_rank(network)[0]["stem"]
        with pytest.raises(ModelError, match=r"body\.0"):
            network.replaced({"body.0": chain})
        with pytest.raises(ModelError, match="no layer 'nowhere'"):
            network.replaced({"nowhere": chain})


class TestMoments:
    def test_moments_are_numpys(self, small_net, noise):
        inputs = noise(5, 3, 8, 8)
        network = network_of_module(small_net, (2, 3, 8, 8))
        found = network.moments(inputs, {"stem": ["outputs", "patches"], "fc": ["outputs"]})
        with torch.no_grad():
            stem = small_net.stem(torch.from_numpy(inputs)).numpy()
        expected = Moments.from_outputs(np.moveaxis(stem, 1, -1).reshape(-1, 8))
        assert found["stem", "outputs"].count == 5 * 64
        assert found["fc", "outputs"].count == 5
        np.testing.assert_allclose(found["stem", "outputs"].mean, expected.mean, atol=1e-6)
        np.testing.assert_allclose(found["stem", "outputs"].second, expected.second, atol=1e-6)
        patches = found["stem", "patches"]
        weight = small_net.stem.weight.detach().numpy().reshape(8, -1)
        np.testing.assert_allclose(weight @ patches.mean, expected.mean, atol=1e-5)
        covariance = weight @ patches.covariance @ weight.T
        np.testing.assert_allclose(covariance, expected.covariance, atol=1e-5)

    def test_moments_of_no_layer(self, small_net):
        network = network_of_module(small_net, (2, 3, 8, 8))
        with pytest.raises(ModelError, match="no layer 'nonsense'"):
            network.moments(np.ones((1, 3, 8, 8)), {"nonsense": ["outputs"]})


def test_hash_depends_on_weights_and_structure(small_net):
    def sha(module: nn.Module) -> str:
        return network_of_module(module, (1, 3, 8, 8)).sha256

    first = sha(small_net)
    assert sha(small_net) == first
    small_net.stem.padding_mode = "zeros"
    with torch.no_grad():
        small_net.fc.bias[0] += 1
    second = sha(small_net)
    assert second != first
    small_net.body[1] = nn.ReLU6()
    assert sha(small_net) != second


def test_network_that_does_not_run(small_net):
    with pytest.raises(ModelError, match=r"does not run on an input of shape \(1, 4, 8, 8\)"):
        network_of_module(small_net, (1, 4, 8, 8))


@pytest.mark.parametrize(
    "example", [object(), {"x": torch.zeros(1)}, (torch.zeros(1), "x"), (0, 3)]
)
def test_example_inputs_that_say_nothing(small_net, example):
    with pytest.raises(ModelError):
        network_of_module(small_net, example)


def test_not_a_module():
    with pytest.raises(ModelError, match="int"):
        network_of_module(3, (1, 3, 8, 8))
