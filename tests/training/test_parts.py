"""Pairs, groups, freezing, schedules, statistics, intervals: each held by itself."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from rankwise.errors import ModelError, UsageError
from rankwise.models.fidelity import relative_error
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.torch_layers import Shift
from rankwise.training import channel_statistics, checkpoint
from rankwise.training.batch_norm import batch_norms, reestimate
from rankwise.training.channel_statistics import ChannelStatistics, last_link, layers_of, statistics
from rankwise.training.comparison import error_ratio
from rankwise.training.distillation import Distillation, relative_square
from rankwise.training.freezing import Freezing, freeze
from rankwise.training.pair import Pair, links, pair_of, parameter_groups
from rankwise.training.schedule import Budget, cosine


class TestPair:
    def test_torch_starts_where_the_plan_ends(self, network, ranks, replacements, rows):
        chains = replacements(network, ranks)
        pair = pair_of(network, chains)
        assert pair.chains == tuple(ranks)
        np.testing.assert_array_equal(
            pair.network().outputs(rows), network.replaced(chains).outputs(rows)
        )

    def test_what_is_learnt_goes_home(self, network, ranks, replacements, rows):
        pair = pair_of(network, replacements(network, ranks))
        before = pair.network()
        _change(pair.student)
        with torch.inference_mode():
            expected = pair.student(torch.from_numpy(rows)).numpy()
        np.testing.assert_allclose(pair.network().outputs(rows), expected, rtol=1e-5, atol=1e-5)
        assert relative_error(expected, before.outputs(rows)) > 1e-3

    def test_a_clean_copy_takes_the_weights_home(self, network, ranks, replacements, rows):
        """Of a student that has another type by now and keeps a tensor of its last call."""
        pair = pair_of(network, replacements(network, ranks))
        expected = pair.network().outputs(rows)
        pair.student.last = pair.student.double()(torch.from_numpy(rows).double())
        home = pair.network()
        assert not hasattr(home.module, "last")
        np.testing.assert_allclose(home.outputs(rows), expected, rtol=1e-5, atol=1e-6)

    def test_a_tensor_of_the_file_is_one_thing(self, rows):
        """Exporters merge equal ones; training would tell these apart."""
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
            helper.make_node("BatchNormalization", ["c", "one", "b", "b", "one"], ["y"], "bn"),
        ]
        names = {"w": np.ones((4, 3, 1, 1)), "one": np.ones(4), "b": np.zeros(4)}
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 12, 12))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, 12, 12))],
            [numpy_helper.from_array(a.astype(np.float32), n) for n, a in names.items()],
        )
        opset = helper.make_opsetid("", 17)
        file = OnnxNetwork(
            helper.make_model(graph, opset_imports=[opset], ir_version=8), "f", (1, 3, 12, 12)
        )
        with pytest.raises(ModelError, match="one tensor"):
            pair_of(file, {})

    def test_all_outputs_of_a_graph_are_trained(self, rows):
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["z"], "first"),
            helper.make_node("Conv", ["x", "v"], ["y"], "second"),
        ]
        weights = {"w": rows[:4, :, :1, :1], "v": rows[4:8, :, :1, :1]}
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 12, 12))],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 4, 12, 12)) for n in "zy"],
            [numpy_helper.from_array(np.array(a), n) for n, a in weights.items()],
        )
        opset = helper.make_opsetid("", 17)
        file = OnnxNetwork(
            helper.make_model(graph, opset_imports=[opset], ir_version=8), "f", (1, 3, 12, 12)
        )
        assert {"first.weight", "second.weight"} <= set(pair_of(file, {}).student.state_dict())

    @pytest.mark.slow  # the export
    def test_onnx_weights_go_back_into_the_file(self, network, ranks, replacements, rows, tmp_path):
        file = OnnxNetwork.load(network.to_onnx(tmp_path / "net.onnx"))
        names = [use.name for use in file.layers]
        decisions = dict(zip(names, ranks.values(), strict=True))
        chains = replacements(file, decisions)
        pair = pair_of(file, chains)
        same = pair.network()
        assert isinstance(same, OnnxNetwork)
        expected = file.replaced(chains)
        assert [n.name for n in same.model.graph.node] == [
            n.name for n in expected.model.graph.node
        ]
        np.testing.assert_allclose(same.outputs(rows), expected.outputs(rows), atol=1e-5)
        _change(pair.student)
        with torch.inference_mode():
            learnt = pair.student(torch.from_numpy(rows)).numpy()
        np.testing.assert_allclose(pair.network().outputs(rows), learnt, rtol=1e-4, atol=1e-5)

    def test_groups_know_the_factors(self, network, ranks, replacements):
        pair = pair_of(network, replacements(network, ranks))
        groups = {group["name"]: group["params"] for group in parameter_groups(*_model(pair))}
        factors = {id(p) for path in ranks for p in pair.student.get_submodule(path).parameters()}
        assert {id(p) for p in groups["factors"]} == factors
        assert {id(p) for p in groups["rest"]} == {id(p) for p in pair.student.bn.parameters()}

    def test_groups_leave_out_what_is_not_trained(self, network, ranks, replacements):
        pair = pair_of(network, replacements(network, ranks))
        pair.student.bn.requires_grad_(False)
        assert [group["name"] for group in parameter_groups(*_model(pair))] == ["factors"]


def _model(pair):
    return pair.student, pair.chains


def _change(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05)


class TestFreezing:
    @pytest.mark.parametrize(
        ("text", "steps"), [("none", 0), ("sequential", 25), ("sequential:3", 3)]
    )
    def test_parsed(self, text, steps):
        assert Freezing.parse(text).turn_steps == steps
        assert str(Freezing.parse(text)) == (f"sequential:{steps}" if steps else "none")

    @pytest.mark.parametrize("text", ["", "sequential:0", "sequential:x", "always"])
    def test_refused(self, text):
        with pytest.raises(UsageError, match="--freeze"):
            Freezing.parse(text)

    def test_turns_take_turns(self):
        assert [Freezing(2).turn(step) for step in range(6)] == [0, 0, 1, 1, 0, 0]
        assert Freezing(0).turn(7) is None

    def test_frozen_factors_get_no_gradient_and_the_rest_does(
        self, network, ranks, replacements, rows
    ):
        student = pair_of(network, replacements(network, ranks)).student
        student.requires_grad_(True)
        for parity in (0, 1, None):
            freeze(student, tuple(ranks), parity)
            student.zero_grad(set_to_none=True)
            student(torch.from_numpy(rows)).square().sum().backward()
            for path in ranks:
                for number, link in enumerate(links(student.get_submodule(path))):
                    assert (link.weight.grad is None) == (number % 2 == parity)
            assert student.bn.weight.grad is not None

    def test_gradients_of_what_is_trained_are_as_without_freezing(
        self, network, ranks, replacements, rows
    ):
        student = pair_of(network, replacements(network, ranks)).student
        student.requires_grad_(True)
        found = []
        for parity in (None, 0):
            freeze(student, tuple(ranks), parity)
            student.zero_grad(set_to_none=True)
            student(torch.from_numpy(rows)).square().sum().backward()
            found.append(student.get_submodule("stem")[1].weight.grad.clone())
        torch.testing.assert_close(*found)


class TestSchedule:
    @given(st.floats(0, 1), st.floats(0, 1))
    def test_rate_falls_after_the_rise(self, one, two):
        early, late = sorted([max(one, 0.08), max(two, 0.08)])
        assert 0 < cosine(late) <= cosine(early) <= 1

    def test_rate_rises_from_little(self):
        assert 0 < cosine(0) < 0.2

    def test_whichever_budget_ends_first(self):
        assert Budget(10, 100.0).progress(5, 80.0) == 0.8
        assert Budget(10, None).progress(10, 1e9) == 1
        assert Budget(None, 10.0).progress(10**9, 5.0) == 0.5

    @pytest.mark.parametrize(
        "budget",
        [
            Budget(),
            Budget(0),
            Budget(None, 0.0),
            Budget(-1, 5.0),
            Budget(None, math.nan),
            Budget(None, math.inf),
        ],
    )
    def test_refused(self, budget):
        with pytest.raises(UsageError, match="--steps"):
            budget.check()


class TestStatistics:
    def test_they_are_those_of_the_batches(self, rows):
        model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).eval()
        batches = [torch.from_numpy(part) for part in np.split(rows * 3 + 1, 4)]
        reestimate(model, batches)
        norm = model[0]
        together = np.concatenate([b.numpy() for b in batches])
        np.testing.assert_allclose(norm.running_mean, together.mean((0, 2, 3)), rtol=1e-4)
        variances = np.mean([b.numpy().var((0, 2, 3), ddof=1) for b in batches], axis=0)
        np.testing.assert_allclose(norm.running_var, variances, rtol=1e-4)
        assert not norm.training and norm.momentum == 0.1

    def test_one_value_per_channel_changes_nothing(self, rows):
        model = nn.Sequential(nn.Flatten(), nn.Linear(432, 4), nn.BatchNorm1d(4)).eval()
        before = {name: one.clone() for name, one in model.state_dict().items()}
        with pytest.raises(ValueError, match="more than 1 value"):
            reestimate(model, [torch.from_numpy(rows[:8]), torch.from_numpy(rows[:1])])
        assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
        assert not model[2].training and model[2].momentum == 0.1

    def test_without_statistics_there_is_nothing_to_do(self, rows):
        model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)).eval()
        assert batch_norms(model) == []
        reestimate(model, [torch.from_numpy(rows)])


class TestDistillation:
    def test_nothing_is_lost_at_first_against_oneself(self, network, rows):
        pair = pair_of(network, {})
        with Distillation(pair, 1.0) as distillation:
            assert distillation.loss(torch.from_numpy(rows)).item() == pytest.approx(0, abs=1e-10)

    def test_output_loss_is_the_square_of_the_network_error(
        self, network, ranks, replacements, rows
    ):
        chains = replacements(network, ranks)
        error = relative_error(network.outputs(rows), network.replaced(chains).outputs(rows))
        with Distillation(pair_of(network, chains), 0.0) as distillation:
            loss = distillation.loss(torch.from_numpy(rows)).item()
        assert loss == pytest.approx(error**2, rel=1e-4)

    def test_features_add_the_mean_over_replaced_layers(self, network, ranks, replacements, rows):
        pair = pair_of(network, replacements(network, {"fc": ranks["fc"]}))
        inputs = torch.from_numpy(rows)
        with Distillation(pair, 0.5) as distillation:
            found = distillation.loss(inputs).item()
        output = relative_square(pair.student(inputs), pair.original(inputs)).item()
        assert found == pytest.approx(1.5 * output, rel=1e-4)

    def test_no_hook_stays(self, network, ranks, replacements, rows):
        pair = pair_of(network, replacements(network, ranks))
        with Distillation(pair, 1.0) as distillation:
            distillation.loss(torch.from_numpy(rows))
        assert not any(m._forward_hooks for m in pair.student.modules())
        assert not any(m._forward_hooks for m in pair.original.modules())


class TestCheckpoint:
    def test_an_optimizer_goes_on_as_if_nothing_had_happened(self, tmp_path):
        def step(model, optimizer, number):
            optimizer.zero_grad()
            torch.manual_seed(number)
            model(torch.randn(4, 3)).square().sum().backward()
            optimizer.step()

        torch.manual_seed(0)
        one = nn.Linear(3, 2)
        first = torch.optim.Adam(one.parameters(), lr=0.1)
        step(one, first, 0)
        tensors = {
            **checkpoint.pack("m", one.state_dict()),
            **checkpoint.pack("o", checkpoint.optimizer_tensors(first)),
        }
        checkpoint.write(tmp_path / "c.safetensors", tensors, {"step": 1})
        step(one, first, 1)

        found, notes = checkpoint.read(tmp_path / "c.safetensors")
        two = nn.Linear(3, 2)
        two.load_state_dict(checkpoint.unpack("m", found))
        second = torch.optim.Adam(two.parameters(), lr=0.1)
        checkpoint.restore_optimizer(second, checkpoint.unpack("o", found))
        step(two, second, 1)
        assert notes["step"] == 1
        torch.testing.assert_close(two.weight, one.weight, rtol=0, atol=0)

    @pytest.mark.parametrize("content", [b"", b"no safetensors", b"\x08\0\0\0\0\0\0\0{}      "])
    def test_what_is_no_checkpoint_is_refused(self, tmp_path, content):
        (tmp_path / "c").write_bytes(content)
        with pytest.raises(UsageError, match="no checkpoint"):
            checkpoint.read(tmp_path / "c")
        with pytest.raises(UsageError, match="leave --resume out"):
            checkpoint.read(tmp_path / "nothing")


class TestComparison:
    def arrays(self, pictures=8, scale=0.5, seed=0):
        rng = np.random.default_rng(seed)
        reference = rng.standard_normal((pictures, 10)).astype(np.float32)
        noise = rng.standard_normal((pictures, 10)).astype(np.float32)
        other = rng.standard_normal((pictures, 10)).astype(np.float32)
        return reference, reference + noise, reference + np.float32(scale) * other

    def test_errors_are_the_relative_ones(self):
        reference, before, after = self.arrays()
        found = error_ratio(reference, before, after, 8)
        assert found.before == pytest.approx(relative_error(reference, before))
        assert found.after == pytest.approx(relative_error(reference, after))
        assert found.ratio == pytest.approx(found.after / found.before)
        assert found.low < found.ratio < found.high

    def test_nothing_left(self):
        reference, before, _ = self.arrays()
        assert error_ratio(reference, before, reference, 8).high == 0

    def test_the_interval_holds_the_truth_as_often_as_it_says(self):
        """The truth here: errors of the same size, so a ratio of one half."""
        held = 0
        for seed in range(200):
            found = error_ratio(*self.arrays(7, 0.5, seed), 7)
            held += found.low <= 0.5 <= found.high
        assert held >= 180


class TestChannelStatistics:
    def test_channels_spread_as_they_did(self, network, ranks, replacements, rows, monkeypatch):
        monkeypatch.setattr(channel_statistics, "MAX_SCALE", 1e3)
        pair = pair_of(network, replacements(network, ranks))
        inputs = torch.from_numpy(rows)
        before = _statistics(pair.original, layers_of(pair), inputs)
        ChannelStatistics(pair, inputs).match()
        after = _statistics(pair.student, layers_of(pair), inputs)
        assert list(before) == list(ranks)
        for path, (deviation, mean) in before.items():
            torch.testing.assert_close(after[path][0], deviation, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(after[path][1], mean, rtol=1e-3, atol=1e-4)

    def test_nothing_else_changes(self, network, ranks, replacements, rows):
        pair = pair_of(network, replacements(network, ranks))
        original = {n: t.clone() for n, t in pair.original.state_dict().items()}
        student = {n: t.clone() for n, t in pair.student.state_dict().items()}
        ChannelStatistics(pair, torch.from_numpy(rows)).match()
        for name, tensor in pair.original.state_dict().items():
            assert torch.equal(tensor, original[name]), name
        changed = {
            name
            for name, tensor in pair.student.state_dict().items()
            if not torch.equal(tensor, student[name])
        }
        last = {"stem.1", "body.0.1", "fc.1"}
        assert changed == {f"{path}.{kind}" for path in last for kind in ("weight", "bias")}
        for module in (*pair.original.modules(), *pair.student.modules()):
            assert not module._forward_hooks

    def test_only_the_mean_of_what_the_network_says(self, network, ranks, replacements, rows):
        pair = pair_of(network, replacements(network, ranks))
        inputs = torch.from_numpy(rows)
        student = {n: t.clone() for n, t in pair.student.state_dict().items()}
        ChannelStatistics(pair, inputs).match_last_mean(7)
        with torch.no_grad():
            torch.testing.assert_close(pair.student(inputs).mean(0), pair.original(inputs).mean(0))
        state = pair.student.state_dict()
        assert [n for n in state if not torch.equal(state[n], student[n])] == ["fc.1.bias"]

    def test_an_original_matches_itself(self, network, rows):
        pair = Pair(network.module, copy.deepcopy(network.module), (), lambda _: network)
        inputs = torch.from_numpy(rows)
        ChannelStatistics(pair, inputs).match()
        torch.testing.assert_close(pair.student(inputs), pair.original(inputs))

    def test_no_bias_or_shared_weights(self):
        model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4), nn.Linear(4, 4))
        model[2].weight = model[1].weight
        pair = Pair(model, copy.deepcopy(model), (), None)
        assert layers_of(pair) == []
        ChannelStatistics(pair, torch.randn(8, 4)).match()

    def test_a_bias_of_its_own_is_shifted(self):
        """As a MatMul and an Add of an ONNX file become; the Linear cannot be corrected."""
        bias = nn.Parameter(torch.zeros(3))
        original = nn.Sequential(nn.Linear(4, 3, bias=False), Shift(bias))
        student = copy.deepcopy(original)
        student[0].weight.data += 1
        weight = student[0].weight.clone()
        pair = Pair(original, student, (), None)
        assert layers_of(pair) == ["1"]
        inputs = torch.randn(8, 4) + 1
        ChannelStatistics(pair, inputs).match()
        assert torch.equal(student[0].weight, weight)
        torch.testing.assert_close(student(inputs).mean(0), original(inputs).mean(0))

    def test_features_of_tokens_and_dead_channels(self):
        """(n, tokens, features); a feature that says nothing is scaled by no more than two."""
        original, student = nn.Linear(4, 3), nn.Linear(4, 3)
        student.weight.data[0] = 0
        pair = Pair(nn.Sequential(original), nn.Sequential(student), (), None)
        inputs = torch.randn(8, 5, 4)
        ChannelStatistics(pair, inputs).match()
        found, wanted = pair.student(inputs), pair.original(inputs)
        torch.testing.assert_close(found.mean((0, 1)), wanted.mean((0, 1)), rtol=1e-3, atol=1e-4)
        assert torch.equal(student.weight[0], torch.zeros(4))


def _statistics(
    module: nn.Module, paths: list[str], inputs: torch.Tensor
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Before an activation in place changes them."""
    found = {}
    hooks = [
        module.get_submodule(path).register_forward_hook(
            lambda part, _, out, path=path: found.update({path: statistics(out, last_link(part))})
        )
        for path in paths
    ]
    with torch.no_grad():
        module(inputs)
    for hook in hooks:
        hook.remove()
    return found
