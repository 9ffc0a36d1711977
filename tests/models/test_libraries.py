"""`timm:NAME`, `torchvision:NAME` and `hf:OWNER/NAME`.

The first two are stand-ins in the place of the packages, with what their documents name:
timm's `is_model`, `create_model(name, pretrained)`, a model's `pretrained_cfg`, and
`data.resolve_model_data_config`; torchvision's `models.list_models`, `get_model(name, weights)`,
`get_model_weights(name).DEFAULT` with `url` and `transforms()`. transformers is the real one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from rankwise.errors import CalibrationError, ModelError
from rankwise.models.network import only
from rankwise.models.pictures import load_calibration
from rankwise.models.preprocess import find_preprocess, usual_preprocess
from rankwise.models.source import load_network

SIZE = 32


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch's hub would keep files: nothing is there."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    return tmp_path / "hub/checkpoints"


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch, hub: Path) -> Path:
    preset = SimpleNamespace(
        crop_size=[SIZE], resize_size=[40], mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]
    )
    best = SimpleNamespace(url="https://host.test/w/small-1234.pth", transforms=lambda: preset)

    def get_model(name: str, weights: Any = None) -> nn.Module:
        assert (name, weights) == ("small", None), "weights would be fetched"
        return net()

    package = ModuleType("torchvision")
    package.models = SimpleNamespace(  # type: ignore[attr-defined]
        list_models=lambda: ["small"],
        get_model=get_model,
        get_model_weights=lambda _: SimpleNamespace(DEFAULT=best),
    )
    monkeypatch.setitem(sys.modules, "torchvision", package)
    return hub / "small-1234.pth"


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of its model, which a test may change."""
    settings: dict[str, Any] = {"url": "https://host.test/small-5678.pth", "hf_hub_id": None}

    def create_model(name: str, pretrained: bool = False) -> nn.Module:
        assert (name, pretrained) == ("small", False), "weights would be fetched"
        module = net()
        module.pretrained_cfg = settings  # type: ignore[assignment]
        return module

    data = {
        "input_size": (3, SIZE, SIZE),
        "interpolation": "bicubic",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "crop_pct": 0.8,
        "crop_mode": "center",
    }
    package = ModuleType("timm")
    package.is_model = lambda name: name == "small"  # type: ignore[attr-defined]
    package.create_model = create_model  # type: ignore[attr-defined]
    package.data = SimpleNamespace(resolve_model_data_config=lambda _: data)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", package)
    return settings


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255, (60, 48, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"pictures/{number}.png")
    return tmp_path / "pictures"


def check_weights(found: Any, wanted: nn.Module) -> None:
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(found.module.state_dict()[name], tensor)


def test_torchvision(torchvision: Path, picture: Path) -> None:
    wanted = net()
    torch.save(wanted.state_dict(), torchvision)
    found = load_network("torchvision:small")
    assert found.input_shape == (1, 3, SIZE, SIZE)
    check_weights(found, wanted)
    assert load_network("torchvision:small", batch=4).input_shape[0] == 4
    recipe = find_preprocess("torchvision:small", (3, SIZE, SIZE))
    assert recipe.name == "torchvision:small"
    assert recipe.settings["resize"] == 40
    assert recipe.settings["mean"] == (0.485, 0.456, 0.406)
    assert recipe.settings["std"] == (0.229, 0.224, 0.225)
    usual = usual_preprocess(found.source)
    made = load_calibration(picture, usual, found.input_shape)
    assert made.preprocess == "torchvision:small"
    assert made.report.shape[1:] == (3, SIZE, SIZE)


@pytest.mark.usefixtures("timm")
def test_timm(hub: Path) -> None:
    wanted = net()
    torch.save(wanted.state_dict(), hub / "small-5678.pth")
    found = load_network("timm:small")
    assert found.input_shape == (1, 3, SIZE, SIZE)
    check_weights(found, wanted)
    recipe = find_preprocess("timm:small", (3, SIZE, SIZE))
    assert recipe.settings["resize"] == 40
    assert recipe.settings["std"] == (0.25, 0.25, 0.25)


def test_timm_from_the_cache_of_hugging_face(
    timm: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm["hf_hub_id"] = "timm/small.a1"
    place = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place))
    with pytest.raises(ModelError, match="the weights of timm:small are not on this machine"):
        load_network("timm:small")
    snapshot = place / "models--timm--small.a1/snapshots/0123"
    snapshot.mkdir(parents=True)
    (place / "models--timm--small.a1/refs").mkdir()
    (place / "models--timm--small.a1/refs/main").write_text("0123")
    wanted = net()
    save_file(wanted.state_dict(), snapshot / "model.safetensors")
    import huggingface_hub

    real = huggingface_hub.try_to_load_from_cache
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda *a: real(*a, cache_dir=place)
    )
    check_weights(load_network("timm:small"), wanted)


@pytest.mark.usefixtures("timm", "torchvision")
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_weights_that_are_not_there_are_not_fetched(library: str, tmp_path: Path) -> None:
    said = rf"^the weights of {library}:small are not on this machine, .* once, or give --weights$"
    with pytest.raises(ModelError, match=said):
        load_network(f"{library}:small")
    wanted = net()
    torch.save(wanted.state_dict(), tmp_path / "own.pth")
    check_weights(load_network(f"{library}:small", weights=tmp_path / "own.pth"), wanted)
    with pytest.raises(ModelError, match=f"{library} has no network 'other'"):
        load_network(f"{library}:other")


@pytest.mark.parametrize(
    ("library", "package"),
    [("timm", "timm"), ("torchvision", "torchvision"), ("hf", "transformers")],
)
def test_a_library_that_is_missing(
    library: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nowhere:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == package:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Nowhere(), *sys.meta_path])
    said = f"^{library}:x needs the package {package}, which is not installed here$"
    with pytest.raises(ModelError, match=said):
        load_network(f"{library}:x")
    with pytest.raises(CalibrationError, match=said):
        find_preprocess(f"{library}:x", (3, 8, 8))


@pytest.mark.usefixtures("timm")
def test_a_library_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nlong story")

    monkeypatch.setattr(sys.modules["timm"], "create_model", fail)
    with pytest.raises(ModelError, match=r"^timm:small failed: operator .* does not exist$"):
        load_network("timm:small")


class TestHuggingFace:
    @pytest.fixture(autouse=True)
    def offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A test that opens a connection fails."""
        import socket

        def refuse(*_: Any) -> None:
            raise AssertionError("the network was used")

        monkeypatch.setattr(socket.socket, "connect", refuse)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        from transformers import ViTConfig, ViTForImageClassification

        torch.manual_seed(1)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = ViTConfig(
            intermediate_size=64, image_size=SIZE, patch_size=8, num_labels=5, **sizes
        )
        module = ViTForImageClassification(config)
        module.half().save_pretrained(tmp_path / "vit")
        settings = {
            **{"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 0.5},
            **{"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": {"shortest_edge": 40}},
            **{"crop_size": {"height": SIZE, "width": SIZE}, "do_center_crop": True},
            "image_processor_type": "ViTImageProcessor",
        }
        (tmp_path / "vit/preprocessor_config.json").write_text(json.dumps(settings))
        return tmp_path / "vit"

    def test_a_folder(self, folder: Path) -> None:
        from transformers import ViTForImageClassification

        found = load_network(f"hf:{folder}")
        assert found.input_shape == (1, 3, SIZE, SIZE)
        assert type(found.module) is ViTForImageClassification  # type: ignore[attr-defined]
        assert sum(use.spec is not None for use in found.layers) > 10
        wanted = ViTForImageClassification.from_pretrained(folder, dtype=torch.float32).eval()
        inputs = np.random.default_rng(0).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)
        with torch.no_grad():
            logits = wanted(torch.from_numpy(inputs)).logits.numpy()
        np.testing.assert_allclose(only(found.outputs(inputs)), logits, atol=1e-5)
        recipe = find_preprocess(f"hf:{folder}", (3, SIZE, SIZE))
        assert recipe.settings["resize"] == 40
        assert recipe.settings["scale"] == 0.5
        assert recipe.settings["std"] == (0.25,) * 3
        assert load_network(f"hf:{folder}").sha256 == found.sha256

    def test_other_weights(self, folder: Path, tmp_path: Path) -> None:
        state = {
            n: t.float() + 1 for n, t in load_network(f"hf:{folder}").module.state_dict().items()
        }  # type: ignore[attr-defined]
        save_file(state, tmp_path / "w.safetensors")
        found = load_network(f"hf:{folder}", weights=tmp_path / "w.safetensors")
        assert torch.equal(found.module.state_dict()["classifier.bias"], state["classifier.bias"])  # type: ignore[attr-defined]

    def test_text_has_tokens_and_a_mask(self, tmp_path: Path) -> None:
        from transformers import BertConfig, BertModel

        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        BertModel(BertConfig(intermediate_size=64, vocab_size=50, **sizes)).save_pretrained(
            tmp_path
        )
        network = load_network(f"hf:{tmp_path}")
        assert [(one.name, one.shape) for one in network.inputs.specs] == [
            ("input_ids", (1, 128)),
            ("attention_mask", (1, 128)),
        ]
        assert network.sha256 == load_network(f"hf:{tmp_path}").sha256
        with pytest.raises(CalibrationError, match="does not say how pictures become its input"):
            find_preprocess(f"hf:{tmp_path}", (3, 8, 8))

    def test_sound_has_a_second(self, tmp_path: Path) -> None:
        from transformers import HubertConfig, HubertModel

        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        small = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "intermediate_size": 32}
        groups = {"num_conv_pos_embedding_groups": 4}
        HubertModel(HubertConfig(**sizes, **small, **groups)).save_pretrained(tmp_path)
        found = load_network(f"hf:{tmp_path}")
        assert found.input_shape == (1, 16000)
        assert len(found.layers) > 7

    def test_what_is_not_here_is_not_fetched(self) -> None:
        said = r"^hf:nobody/nothing is neither a folder .* call `hf download nobody/nothing` once$"
        with pytest.raises(ModelError, match=said):
            load_network("hf:nobody/nothing")
