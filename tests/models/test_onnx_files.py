"""ONNX files: written and read again, with external data, damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rankwise.backends.base import FileWorkload, ModuleWorkload
from rankwise.errors import BackendError, ModelError, UsageError
from rankwise.models.network import only
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.source import load_network


def load(path: Path, **options: object) -> OnnxNetwork:
    network = load_network(str(path), **options)  # type: ignore[arg-type]
    assert isinstance(network, OnnxNetwork)
    return network


class TestFiles:
    def test_save_and_read_again(self, make_onnx, full_rank, noise, tmp_path):
        network = load(make_onnx())
        compressed = network.replaced(full_rank(network)[0])
        path = compressed.save(tmp_path / "small.onnx")
        again = load(path)
        assert again.layers == compressed.layers
        inputs = noise(2, 3, 10, 12)
        assert np.array_equal(only(again.outputs(inputs)), only(compressed.outputs(inputs)))

    def test_safetensors_and_other_suffixes(self, make_onnx, tmp_path):
        from safetensors.numpy import load_file

        network = load(make_onnx())
        saved = load_file(network.save(tmp_path / "net.safetensors"))
        assert np.array_equal(saved["w2"], network.weights("second")[0])
        with pytest.raises(UsageError, match="safetensors"):
            network.save(tmp_path / "net.pth")

    def test_workload(self, make_onnx, tmp_path):
        network = load(make_onnx())
        folder = tmp_path / "work"
        folder.mkdir()
        work = network.workload("k", (FileWorkload, ModuleWorkload), folder)
        assert isinstance(work, FileWorkload)
        assert load(work.path).layers == network.layers
        with pytest.raises(BackendError):
            network.workload("k", (), folder)

    def test_hash_is_the_files(self, make_onnx):
        import hashlib

        path = make_onnx()
        assert load(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_external_data_is_read_and_hashed(self, make_onnx, noise, tmp_path):
        plain = load(make_onnx())
        hashes = []
        for folder, factor in (("a", 1), ("b", 2)):
            model = onnx.load(make_onnx())
            weight = numpy_helper.to_array(model.graph.initializer[0]) * np.float32(factor)
            model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w1"))
            (tmp_path / folder).mkdir()
            path = tmp_path / folder / "net.onnx"
            onnx.save(
                model, path, save_as_external_data=True, location="net.data", size_threshold=0
            )
            hashes.append(load(path).sha256)
        inputs = noise(1, 3, 10, 12)
        assert np.array_equal(
            only(load(tmp_path / "a/net.onnx").outputs(inputs)), only(plain.outputs(inputs))
        )
        assert hashes[0] != hashes[1]

    @pytest.mark.parametrize("place", ["../secret.data", "/etc/hostname", "gone.data"])
    def test_external_data_from_elsewhere_is_refused(self, make_onnx, tmp_path, place):
        model = onnx.load(make_onnx())
        tensor = model.graph.initializer[0]
        (tmp_path / "secret.data").write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)
        (tmp_path / "inner").mkdir()
        (tmp_path / "inner/net.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ModelError, match="external data"):
            load(tmp_path / "inner/net.onnx")


class TestBadFiles:
    def test_damage(self, make_onnx, tmp_path):
        good = make_onnx().read_bytes()
        for number, data in enumerate((good[:-10], good[: len(good) // 2], b"", b"hello\n" * 50)):
            path = tmp_path / f"bad{number}.onnx"
            path.write_bytes(data)
            with pytest.raises(ModelError, match="ONNX") as caught:
                load(path)
            assert "\n" not in str(caught.value)

    def test_missing_or_folder(self, tmp_path):
        with pytest.raises(ModelError, match="no file"):
            load(tmp_path / "none.onnx")
        (tmp_path / "dir.onnx").mkdir()
        with pytest.raises(ModelError, match="folder"):
            load(tmp_path / "dir.onnx")

    @pytest.mark.parametrize("version", [1, 999])
    def test_unsupported_opset(self, make_onnx, tmp_path, version):
        model = onnx.load(make_onnx())
        model.opset_import[0].version = version
        (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ModelError) as caught:
            load(tmp_path / "bad.onnx")
        assert "\n" not in str(caught.value)

    def test_unknown_operator(self, make_onnx, tmp_path, capfd):
        model = onnx.load(make_onnx())
        model.graph.node[1].domain = "somebody.else"
        model.opset_import.append(helper.make_opsetid("somebody.else", 1))
        (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ModelError, match="onnxruntime cannot run"):
            load(tmp_path / "bad.onnx")
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        "shape", [(1, 4, 10, 12), (1, 3, 1, 1), (1, 3, 10), (2, 3, 10, 12), (1, 3, 10, 12, 1)]
    )
    def test_input_shape_that_does_not_fit(self, make_onnx, shape):
        with pytest.raises(ModelError) as caught:
            load(make_onnx(), input_shape=shape)
        assert "\n" not in str(caught.value)

    def test_input_too_small_for_an_open_size(self, make_onnx):
        path = make_onnx(conv={"pads": [0] * 4}, input_shape=("N", 3, "H", "W"))
        assert load(path, input_shape=(1, 3, 7, 7)).layers[1].spec.input_shape == (8, 5, 5)
        with pytest.raises(ModelError, match="does not run"):
            load(path, input_shape=(1, 3, 2, 2))
        with pytest.raises(ModelError, match="--input-shape"):
            load(path)

    def test_weights_are_the_files_own(self, make_onnx, tmp_path):
        with pytest.raises(ModelError, match="--weights"):
            load(make_onnx(), weights=tmp_path / "w.pth")


def test_a_file_is_read_without_torch(network_file: Path, tmp_path: Path) -> None:
    """Loading it takes longer than all the rest of a command."""
    code = (
        "import sys\n"
        "from rankwise.models.layer_graph import layer_graph\n"
        "from rankwise.models.source import load_network\n"
        "from rankwise.workflow.inspect import layers\n"
        "network = load_network(sys.argv[1])\n"
        "assert layers(network).layers and layer_graph(network)\n"
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, str(network_file)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert ran.stdout.strip() == "False"
