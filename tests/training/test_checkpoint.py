"""The state of a training run in a file."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rankwise.errors import UsageError
from rankwise.training import checkpoint


def test_an_optimizer_goes_on_as_if_nothing_had_happened(tmp_path):
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
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(UsageError, match="no checkpoint"):
        checkpoint.read(tmp_path / "c")
    with pytest.raises(UsageError, match="leave --resume out"):
        checkpoint.read(tmp_path / "nothing")
