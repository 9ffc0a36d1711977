"""Compression modes on a small network of every kind of layer, and files that are not modes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankwise.errors import UsageError
from rankwise.lowrank.modes import final_dense, find_mode, shipped_modes
from rankwise.records import LayerSpec, LayerUse


def conv(name: str, size: int, kernel: int = 1, stride: int = 1) -> LayerUse:
    pads = (kernel // 2,) * 4
    spec = LayerSpec(
        "conv2d", 8, 8, (8, size, size), (kernel, kernel), (stride, stride), padding=pads
    )
    return LayerUse(name, "conv2d", spec)


LAYERS = (
    conv("stem", 32, 7, 2),
    conv("s1.a", 8),
    conv("s1.b", 8, 3),
    conv("s1.squeeze", 1),
    conv("s2.a", 8, 3, 2),
    conv("s2.b", 4),
    LayerUse("deconv", "ConvTranspose2d", None, "ConvTranspose2d"),
    conv("s3.a", 4, 3, 2),
    LayerUse("hidden", "linear", LayerSpec("linear", 8, 8, (8,))),
    LayerUse("fc", "linear", LayerSpec("linear", 8, 5, (8,))),
)
INNER = {"s2.a", "s2.b", "s3.a", "hidden", "deconv"}


@pytest.mark.parametrize(
    ("mode", "selected"),
    [
        ("vanilla", {use.name for use in LAYERS}),
        ("mode1", {use.name for use in LAYERS} - {"stem", "fc"}),
        ("mode2", {"s1.b", "s2.a", "s3.a"}),
        ("mode3", {*INNER, "fc"}),
        ("mode4", {"s2.a", "s3.a"}),
        ("mode5", {"s2.b"}),
    ],
)
def test_shipped_modes_are_what_they_say(mode: str, selected: set[str]) -> None:
    assert find_mode(mode).select(LAYERS) == selected


def test_every_shipped_mode_is_described() -> None:
    modes = shipped_modes()
    assert list(modes) == ["vanilla", *(f"mode{n}" for n in range(1, 6)), "measured"]
    assert all(mode.description for mode in modes.values())
    assert modes["mode3"].final_dense_ratio == modes["mode5"].final_dense_ratio == 1.5
    assert modes["mode1"].final_dense_ratio is None


def test_measured_takes_what_is_faster_and_refuses_without_measurements() -> None:
    assert find_mode("measured").select(LAYERS, {"s2.a", "fc"}) == {"s2.a", "fc"}
    with pytest.raises(UsageError, match="rankwise profile"):
        find_mode("measured").select(LAYERS)


def test_the_final_dense_layer_is_the_last_one_if_it_is_linear() -> None:
    assert final_dense(LAYERS) == "fc"
    assert final_dense(LAYERS[:-2]) == final_dense([]) == ""


def test_networks_without_convolutions_or_layers() -> None:
    dense = LAYERS[-2:]
    assert find_mode("mode1").select(dense) == set()  # the first layer is the stem
    assert find_mode("mode3").select(dense) == {"fc"}
    assert find_mode("mode3").select([]) == set()


def test_outputs_of_a_single_pixel_right_behind_the_stem_are_of_the_first_stage(
    tmp_path: Path,
) -> None:
    layers = (conv("stem", 32), conv("squeeze", 1), conv("a", 8), conv("b", 4))
    file = tmp_path / "mine.toml"
    file.write_text('[early]\ninclude = ["first_stage"]\n')
    assert find_mode(str(file)).select(layers) == {"squeeze", "a"}


MINE = """
[narrow]
description = "the last stage and everything called *.b"
include = ["stage:3", "name:*.b"]
final_dense_ratio = 3

[narrower]
extends = "narrow"
only = ["spatial"]
exclude = ["name:s1.*"]

[no-stem]
extends = "mode1"
only = ["linear"]
"""


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE)
    assert find_mode(f"{file}:narrow").select(LAYERS) == {"s1.b", "s2.b", "s3.a"}
    assert find_mode(f"{file}:narrow").final_dense_ratio == 3
    assert find_mode(f"{file}:narrower").select(LAYERS) == {"s3.a"}
    assert find_mode(f"{file}:no-stem").select(LAYERS) == {"hidden"}
    file.write_text('[only]\ninclude = ["all"]\n')
    assert find_mode(str(file)).name == "only"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a\n", "is not TOML"),
        ("a = 1\n", "'a' is not a table"),
        ('[a]\ninclude = ["everything"]\n', "unknown selector 'everything'; known are all, stem"),
        ('[a]\ninclude = ["nam:x"]\n', "unknown selector 'nam:x'"),
        ('[a]\ninclude = "all"\n', "`include` is a list"),
        ('[a]\ninclude = ["all"]\nskip = ["stem"]\n', "no setting 'skip'; it takes description"),
        ('[a]\ndescription = "nothing"\n', "either `include` or `extends`"),
        ('[a]\ninclude = ["all"]\nextends = "mode1"\n', "either `include` or `extends`"),
        ('[a]\nextends = "b"\n[b]\ninclude = ["all"]\n', "extends 'b', which is not above it"),
        ('[a]\ninclude = ["all"]\nfinal_dense_ratio = -1\n', "must be more than 0, not -1"),
        ('[a]\ninclude = ["all"]\n[b]\ninclude = ["all"]\n', "has 2 modes: name one, such as"),
        ("", "has 0 modes"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"mine\.toml") as refusal:
        find_mode(str(file))
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_modes_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"mode9. \(did you mean .mode5.\?\); known are vanilla, mode1"
    ):
        find_mode("mode9")
    with pytest.raises(UsageError, match=r"none\.toml cannot be read: No such file"):
        find_mode(str(tmp_path / "none.toml"))
    (tmp_path / "mine.toml").write_text(MINE)
    with pytest.raises(UsageError, match="has no mode 'wide'; it has narrow, narrower, no-stem"):
        find_mode(str(tmp_path / "mine.toml:wide"))
