"""What the student is to learn."""

from __future__ import annotations

import pytest
import torch

from rankwise.models.compared import Compared
from rankwise.models.fidelity import relative_error
from rankwise.models.network import only
from rankwise.models.network_error import NetworkError
from rankwise.training.distillation import Distillation, relative_square
from rankwise.training.pair import pair_of

WHOLE = Compared.whole(["output"])


def test_nothing_is_lost_at_first_against_oneself(network, rows):
    pair = pair_of(network, {})
    with Distillation(pair, WHOLE, 1.0) as distillation:
        assert distillation.loss(torch.from_numpy(rows)).item() == pytest.approx(0, abs=1e-10)


def test_output_loss_is_the_square_of_the_network_error(network, ranks, replacements, rows):
    chains = replacements(network, ranks)
    error = relative_error(
        only(network.outputs(rows)), only(network.replaced(chains).outputs(rows))
    )
    with Distillation(pair_of(network, chains), WHOLE, 0.0) as distillation:
        loss = distillation.loss(torch.from_numpy(rows)).item()
    assert loss == pytest.approx(error**2, rel=1e-4)


def test_parts_count_by_their_weight(network, ranks, replacements, rows):
    chains, parts = replacements(network, ranks), Compared.parse("output[:,:2]=3,output[:,2:]")
    reference, outputs = network.outputs(rows), network.replaced(chains).outputs(rows)
    error = NetworkError.of(parts, reference, outputs)
    with Distillation(pair_of(network, chains), parts, 0.0) as distillation:
        loss = distillation.loss(torch.from_numpy(rows)).item()
    assert loss == pytest.approx(error.value**2, rel=1e-4)


def test_features_add_the_mean_over_replaced_layers(network, ranks, replacements, rows):
    pair = pair_of(network, replacements(network, {"fc": ranks["fc"]}))
    inputs = torch.from_numpy(rows)
    with Distillation(pair, WHOLE, 0.5) as distillation:
        found = distillation.loss(inputs).item()
    output = relative_square(pair.student(inputs), pair.original(inputs)).item()
    assert found == pytest.approx(1.5 * output, rel=1e-4)


def test_no_hook_stays(network, ranks, replacements, rows):
    pair = pair_of(network, replacements(network, ranks))
    with Distillation(pair, WHOLE, 1.0) as distillation:
        distillation.loss(torch.from_numpy(rows))
    for module in (*pair.student.modules(), *pair.original.modules()):
        assert not vars(module)["_forward_hooks"]
