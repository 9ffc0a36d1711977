"""Kinds that other packages bring: a real one, installed by pip, and broken ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankwise.errors import LayerError
from rankwise.lowrank import KINDS
from rankwise.lowrank.builtin_kinds import BUILT_IN
from rankwise.lowrank.registry import GROUP, Registry

PLUGIN = Path(__file__).resolve().parents[1] / "plugin"

USE_IT = """
import json, sys
import numpy as np, torch
import rankwise as rw
from rankwise.lowrank import KINDS
from rankwise.models.source import network_of_module

torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 32, 1), torch.nn.Conv2d(32, 32, 9, 1, 4, groups=32), torch.nn.ReLU()
).eval()
example = torch.randn(1, 3, 64, 64)
layers = rw.layers(net, example).layers
profile = rw.profile(net, example, backend="fake:step=16")
plan = rw.plan(net, example, backend="fake:step=16", max_error=0.9, trials=5)
smaller = rw.apply(plan, net, example)
chosen = next(one for one in plan.layers if one.name == "1").decomposition
lost = smaller.outputs(example.numpy()) - net(example).detach().numpy()
print(json.dumps({
    "kinds": layers[1].kinds, "chosen": chosen.model_dump(), "lost": float(np.abs(lost).max()),
    "candidates": profile.candidates, "last": list(KINDS)[-1],
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample package, where only those find it who are told to look there."""
    import shutil

    source = tmp_path_factory.mktemp("plugin") / "source"  # builds leave files beside sources
    shutil.copytree(PLUGIN, source)
    site = tmp_path_factory.mktemp("site")
    words = ["install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pip", *words, str(site), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return site


def run(code: list[str], site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
    )


@pytest.mark.slow
def test_an_installed_kind_is_profiled_planned_and_applied(installed: Path, tmp_path: Path) -> None:
    done = run(["-c", USE_IT], installed, tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kinds"] == ["depthwise_svd"]
    assert told["last"] == "depthwise_svd"
    assert told["candidates"] >= 1
    assert told["chosen"]["kind"] == "depthwise_svd", told
    assert told["lost"] > 1e-4  # one term a channel is not the whole kernel


def test_an_installed_kind_at_full_rank_is_the_layer(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from rankwise.ops.chain import Chain, LinkWeights
    from rankwise.ops.reference import reference
    from rankwise.records import Decomposition, LayerSpec

    monkeypatch.syspath_prepend(installed)
    kind = Registry(BUILT_IN).find("depthwise_svd")
    pads = (2, 1, 0, 2)
    spec = LayerSpec("conv2d", 6, 6, (6, 9, 11), (3, 5), (2, 1), pads, (1, 2), groups=6)
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal(spec.weight_shape), rng.standard_normal(6)
    inputs = rng.standard_normal((2, *spec.input_shape))
    ranks = kind.full_ranks(spec)
    made = kind.factorize(spec, weight, None, None)
    chain = kind.lower(spec, Decomposition(kind.name, ranks))
    first, last = made.weights(ranks)
    got = reference(chain, (LinkWeights(first), LinkWeights(last, bias)), inputs)
    want = reference(Chain((spec,)), (LinkWeights(weight, bias),), inputs)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
    with pytest.raises(LayerError, match="no multiple of 6"):
        kind.lower(spec, Decomposition(kind.name, (8,)))


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that can be written into; see `package`."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def package(site: Path, name: str, *entries: str) -> None:
    """An installed package, as far as its metadata goes, with entries of the group."""
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *entries, ""]))


def module(site: Path, name: str, text: str) -> None:
    site.mkdir(exist_ok=True)
    (site / f"{name}.py").write_text(text)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("odd = rankwise_no_such_module:KIND", "No module named 'rankwise_no_such_module'"),
        ("odd = rankwise_odd:MISSING", "no attribute 'MISSING'"),
        ("odd = rankwise_odd:NUMBER", "is a int, not a Kind"),
        ("odd = rankwise_odd:SVD", "calls itself 'svd'"),
        ("svd = rankwise_odd:SVD", "a built-in kind has that name"),
        ("odd = rankwise_dies", "first line second line"),
    ],
)
def test_a_broken_kind_is_one_sentence(
    named: Path, caplog: pytest.LogCaptureFixture, entry: str, words: str
) -> None:
    module(
        named, "rankwise_odd", "from rankwise.lowrank import KINDS\nNUMBER, SVD = 3, KINDS['svd']"
    )
    module(named, "rankwise_dies", "raise SystemError('first line\\nsecond line')")
    package(named, "odd-package", entry)
    kinds = Registry(BUILT_IN)
    assert set(kinds) == {kind.name for kind in BUILT_IN}
    (message,) = [record.message for record in caplog.records]
    assert words in message and "package odd-package" in message and "\n" not in message
    name = entry.partition(" ")[0]
    assert dict(kinds.failures) == {name: message}
    if name != "svd":
        with pytest.raises(LayerError) as refusal:
            kinds.find(name)
        assert str(refusal.value) == message


def test_of_two_kinds_with_one_name_neither_hides_the_other(named: Path) -> None:
    text = "from rankwise.lowrank import KINDS\nfrom dataclasses import replace\n"
    module(named, "rankwise_odd", text + "ODD = replace(KINDS['svd'], name='odd')")
    package(named, "a-package", "odd = rankwise_odd:ODD")
    package(named, "b-package", "odd = rankwise_odd:ODD")
    kinds = Registry(BUILT_IN)
    assert "another package has a kind of that name" in kinds.failures["odd"]
    assert "odd" not in kinds


def test_nothing_is_looked_for_before_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, named: Path
) -> None:
    def never(**_: object) -> None:
        raise AssertionError("looked for plugins")

    monkeypatch.setattr("rankwise.lowrank.registry.entry_points", never)
    kinds = Registry(BUILT_IN)
    assert kinds["svd"].name == kinds.find("cp").name.replace("cp", "svd")
    with pytest.raises(AssertionError, match="looked"):
        kinds.find("magic")


@pytest.mark.slow
def test_the_command_line_goes_on_without_a_broken_kind(named: Path, tmp_path: Path) -> None:
    package(named, "odd-package", "odd = rankwise_no_such_module:KIND")
    main = (
        "import sys; from rankwise.cli import main; sys.argv = ['rankwise', *sys.argv[1:]]; main()"
    )
    done = run(["-c", main, "layers", "resnet18", "--json"], named, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "kind 'odd' of package odd-package cannot be used: No module named "
        "'rankwise_no_such_module'; repair or uninstall the package"
    ]
    assert json.loads(done.stdout)["layers"]
    words = ["profile", "resnet18", "--backend", "fake", "--kinds", "odd"]
    asked = run(["-c", main, *words], named, tmp_path)
    assert asked.returncode == 2
    assert "Traceback" not in asked.stderr and "kind 'odd' of package" in asked.stderr


def test_the_shared_registry_has_the_built_in_kinds() -> None:
    assert {kind.name for kind in BUILT_IN} <= set(KINDS)
