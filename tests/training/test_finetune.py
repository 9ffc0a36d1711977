"""`rankwise finetune`: the user's function gets what it needs, and the best state is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from rankwise import documents
from rankwise.cli import app
from rankwise.documents.plan_files import write_plan
from rankwise.models.source import load_network
from rankwise.training.finetuning import Callbacks, train_student
from rankwise.training.freezing import Freezing
from rankwise.training.pair import links, pair_of
from rankwise.training.schedule import Budget

USER = '''
import torch
from torch import nn

class Net(nn.Module):
    input_shape = (1, 3, 12, 12)
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.fc = nn.Linear(8, 5)
    def forward(self, x):
        return self.fc(self.body(torch.relu(self.stem(x))).mean((2, 3)))

def train(model, groups, callbacks):
    """Towards constant outputs, so that progress is certain."""
    assert model.training
    assert [g["name"] for g in groups] == ["factors"]
    torch.manual_seed(0)
    x = torch.randn(16, 3, 12, 12)
    optimizer = torch.optim.SGD(groups, lr=0.1)
    go_on = True
    while go_on:
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        optimizer.step()
        go_on = callbacks.step() and callbacks.evaluated(loss.item())

def fails(model, groups, callbacks):
    raise ZeroDivisionError("no luck today")

def fails_late(model, groups, callbacks):
    callbacks.step()
    with torch.no_grad():
        model.fc[0].weight.fill_(7)
    callbacks.evaluated(1.0)
    with torch.no_grad():
        model.fc[0].weight.fill_(8)
    raise MemoryError("too much of it")

def stops(model, groups, callbacks):
    callbacks.step()
    raise KeyboardInterrupt

def keeps(model, groups, callbacks):
    callbacks.step()
    model.last = model.double()(torch.randn(2, 3, 12, 12).double())

def ruins(model, groups, callbacks):
    callbacks.step()
    with torch.no_grad():
        model.fc[0].weight.fill_(float("nan"))

def leaves(model, groups, callbacks):
    raise SystemExit(0)

def idles(model, groups, callbacks):
    callbacks.evaluated(model(torch.randn(2, 3, 12, 12)).square().mean())

def explodes_at_once(model, groups, callbacks):
    callbacks.step()
    callbacks.evaluated(float("nan"))

def explodes(model, groups, callbacks):
    callbacks.evaluated(1.0)
    with torch.no_grad():
        model.fc[0].weight.fill_(float("nan"))
    assert not callbacks.evaluated(float("nan"))
'''


@pytest.fixture
def call(tmp_path: Path, make_plan, ranks):
    (tmp_path / "user_training.py").write_text(USER)
    write_plan(make_plan(load_network("user_training:Net"), ranks), tmp_path / "plan.json")

    def run(*words: object, status: int = 0):
        given = ["finetune", "plan.json", *map(str, words), "-o", "out.safetensors"]
        result = CliRunner().invoke(app, given, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return result

    return run


def test_the_users_function_trains(call, tmp_path):
    result = call("user_training:train", "--steps", 30, "--freeze", "sequential:3", "--json")
    document = documents.Recovery.model_validate_json(result.stdout)
    assert document.method == "user_training:train"
    assert document.steps == 30
    assert document.stopped == "budget"
    losses = [point.score for point in document.history]
    assert losses[-1] < 0.5 * losses[0]
    from safetensors.numpy import load_file

    assert "fc.0.weight" in load_file(tmp_path / "out.safetensors")


def test_its_error_is_one_sentence(call, tmp_path):
    result = call("user_training:fails", status=2)
    assert "user_training:fails failed: no luck today" in result.output
    assert not (tmp_path / "out.safetensors").exists()


def test_what_was_trained_is_not_lost(call, tmp_path):
    from safetensors.numpy import load_file

    rescued = tmp_path / "out.safetensors.unsaved.safetensors"
    output = call("user_training:fails_late", status=2).output
    assert "too much of it" in output
    assert rescued.name in output
    assert (load_file(rescued)["fc.0.weight"] == 7).all(), "the best state"
    rescued.unlink()
    assert "interrupted in user_training:stops" in call("user_training:stops", status=1).output
    assert rescued.exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_a_model_that_keeps_a_tensor_of_another_type_is_written(call, tmp_path):
    from safetensors.numpy import load_file

    call("user_training:keeps")
    assert load_file(tmp_path / "out.safetensors")["fc.0.weight"].dtype == np.float32


def test_weights_that_are_no_numbers_are_not_written(call, tmp_path):
    assert "not finite" in call("user_training:ruins", status=3).output
    assert "ended the program" in call("user_training:leaves", status=2).output
    assert not list(tmp_path.glob("out*"))


@pytest.mark.filterwarnings("error")
def test_nothing_trained_is_said(call):
    assert "never called callbacks.step()" in call("user_training:idles").output


def test_not_finite_before_any_other_loss_overwrites_nothing(call, tmp_path):
    (tmp_path / "out.safetensors").write_bytes(b"of before")
    assert "was not written" in call("user_training:explodes_at_once", status=3).output
    assert (tmp_path / "out.safetensors").read_bytes() == b"of before"
    assert not list(tmp_path.glob("*unsaved*"))


def test_a_loss_that_is_not_finite_keeps_the_best(call, tmp_path):
    from safetensors.numpy import load_file

    assert "not finite" in call("user_training:explodes", status=3).output
    state = load_file(tmp_path / "out.safetensors")
    assert all(np.isfinite(array).all() for array in state.values())


def test_no_such_function(call):
    assert "has no callable nothing" in call("user_training:nothing", status=2).output


def test_turns_of_freezing_reach_the_function(network, ranks, replacements, rows):
    pair, seen = pair_of(network, replacements(network, ranks)), []
    callbacks = Callbacks(pair, Freezing(2), Budget(steps=6))

    def train(model, groups, callbacks):
        optimizer = torch.optim.SGD(groups, lr=0.01)
        first = links(model.get_submodule("fc"))[0].weight
        while True:
            optimizer.zero_grad()
            before = first.detach().clone()
            model(torch.from_numpy(rows)).square().mean().backward()
            optimizer.step()
            seen.append(bool((first != before).any()))
            if not callbacks.step():
                return

    train_student(pair, train, callbacks)
    assert seen == [False, False, True, True, False, False]
    assert not pair.student.training
