from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rankwise.errors import CalibrationError
from rankwise.models import picture_files
from rankwise.models.picture_files import load_pictures
from rankwise.models.pictures import (
    FIT_EXAMPLES,
    REPORT_EXAMPLES,
    SELECT_EXAMPLES,
    load_calibration,
)
from rankwise.models.preprocess import Recipe, find_preprocess
from rankwise.models.splits import SPLITS, Split

SHAPE = (1, 3, 16, 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten different pictures of 20x24 and more."""
    path = tmp_path / "photos"
    path.mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        pixels = rng.integers(0, 256, (20 + number, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"photo{number + 1}.png")
    return path


class TestFolder:
    def test_natural_order_and_content_once(self, folder):
        shutil.copy(folder / "photo1.png", folder / "copy_of_1.png")
        (folder / "notes.txt").write_text("no picture")
        (folder / ".hidden.png").write_text("no picture")
        names = [Path(picture.name).stem for picture in load_pictures(folder)]
        assert names == ["copy_of_1", *(f"photo{n}" for n in range(2, 11))]

    def test_calibration(self, folder):
        found = load_calibration(folder, "imagenet", SHAPE)
        assert found.images == 10
        assert found.preprocess == "imagenet"
        assert [len(found.split.indices(name)) for name in SPLITS] == [4, 2, 2, 2]
        assert found.confirm.shape == (2, 3, 16, 16)
        assert found.fit.shape[0] >= FIT_EXAMPLES
        assert found.select.shape[0] >= SELECT_EXAMPLES
        assert found.report.shape == (2, 3, 16, 16)
        assert {a.dtype for a in (found.fit, found.select, found.report)} == {np.dtype(np.float32)}

    def test_same_pictures_same_hash_and_examples(self, folder, tmp_path):
        first = load_calibration(folder, "unit", SHAPE)
        moved = tmp_path / "elsewhere" / "below"
        shutil.copytree(folder, moved)
        again = load_calibration(moved.parent, "unit", SHAPE)
        assert again.sha256 == first.sha256
        assert np.array_equal(np.sort(again.report.ravel()), np.sort(first.report.ravel()))

    def test_large_pictures_are_reported_on_by_windows(self, folder):
        found = load_calibration(folder, "unit", SHAPE)
        assert found.report.shape[0] == REPORT_EXAMPLES
        whole = found.report.reshape(2, -1, 3, 16, 16)
        assert len(np.unique(whole[0], axis=0)) > 1

    def test_hash_knows_pictures_preprocessing_and_crops(self, folder):
        hashes = [
            load_calibration(folder, "unit", SHAPE).sha256,
            load_calibration(folder, "imagenet", SHAPE).sha256,
            load_calibration(folder, "unit", (1, 3, 12, 12)).sha256,
            load_calibration(folder, "unit", SHAPE, crops=1).sha256,
            load_calibration(folder, "unit", SHAPE, seed=1).sha256,
        ]
        assert load_calibration(folder, "unit", (8, 3, 16, 16), crops=1).sha256 == hashes[3]
        (folder / "photo3.png").unlink()
        hashes.append(load_calibration(folder, "unit", SHAPE).sha256)
        assert len(set(hashes)) == len(hashes)

    def test_no_example_of_a_picture_is_in_two_splits(self, tmp_path):
        folder = tmp_path / "flat"
        folder.mkdir()
        for level in range(8):
            Image.new("RGB", (30, 30), (10 * level, 0, 0)).save(folder / f"{level}.png")
        found = load_calibration(folder, "unit", SHAPE, crops=5)
        parts = [found.make(name) for name in SPLITS]
        levels = [set(np.unique(part[:, 0])) for part in parts]
        assert [len(part) for part in parts] == [15, 5, REPORT_EXAMPLES, REPORT_EXAMPLES]
        assert sum(map(len, levels)) == len(set.union(*levels)) == 8

    def test_crops_come_from_the_picture(self, folder):
        found = load_calibration(folder, "unit", SHAPE, crops=3)
        first = load_pictures(folder)[found.split.fit[0]].pixels / np.float32(255)
        windows = np.lib.stride_tricks.sliding_window_view(first, (16, 16, 3)).reshape(
            -1, 16, 16, 3
        )
        for example in found.fit[:3].transpose(0, 2, 3, 1):
            distances = [
                np.abs(windows - e).max(axis=(1, 2, 3)).min() for e in (example, example[:, ::-1])
            ]
            assert min(distances) < 1e-6
        assert not np.array_equal(found.fit[0], found.fit[1])

    def test_problems(self, folder, tmp_path):
        with pytest.raises(CalibrationError, match="no folder"):
            load_calibration(tmp_path / "none", "unit", SHAPE)
        (tmp_path / "empty").mkdir()
        with pytest.raises(CalibrationError, match="no pictures"):
            load_calibration(tmp_path / "empty", "unit", SHAPE)
        with pytest.raises(CalibrationError, match="--preprocess"):
            load_calibration(folder, None, SHAPE)
        with pytest.raises(CalibrationError, match="smaller than"):
            _ = load_calibration(folder, "unit", (1, 3, 64, 64)).fit
        with pytest.raises(CalibrationError, match="do not fit"):
            load_calibration(folder, "imagenet", (1, 10))
        data = (folder / "photo2.png").read_bytes()
        (folder / "photo2.png").write_bytes(data[: len(data) // 2])
        with pytest.raises(CalibrationError, match=r"photo2\.png"):
            load_calibration(folder, "unit", SHAPE)

    def test_pictures_are_decoded_when_they_are_looked_at(self, folder, monkeypatch):
        whole = load_calibration(folder, "unit", SHAPE)
        lengths = {name: len(getattr(whole, name)) for name in SPLITS}
        monkeypatch.setattr(picture_files, "_decoded", None)
        found = load_calibration(folder, "unit", SHAPE)
        assert (found.sha256, found.examples) == (whole.sha256, lengths)
        monkeypatch.undo()
        file = folder / "photo3.png"
        Image.new("RGB", (30, 30)).save(file)
        with pytest.raises(CalibrationError, match="has changed meanwhile"):
            _ = [found.make(name) for name in SPLITS]

    def test_flat_pictures_are_named(self, folder):
        assert load_calibration(folder, "unit", SHAPE).notes == ()
        Image.new("RGB", (30, 30), (5, 6, 7)).save(folder / "blank.png")
        Image.new("L", (30, 30), 9).save(folder / "grey.jpg")
        (note,) = load_calibration(folder, "unit", SHAPE).notes
        assert note.startswith("2 of 12 pictures have one colour throughout")
        assert note.endswith("blank.png, grey.jpg")

    def test_two_pictures_are_too_few(self, folder):
        for file in sorted(folder.iterdir())[2:]:
            file.unlink()
        with pytest.raises(CalibrationError, match="at least 3"):
            load_calibration(folder, "unit", SHAPE)

    def test_three_pictures_leave_none_to_confirm_with(self, folder):
        for file in sorted(folder.iterdir())[3:]:
            file.unlink()
        found = load_calibration(folder, "unit", SHAPE)
        assert found.confirm.shape == (0, 3, 16, 16)
        assert found.examples["confirm"] == 0

    def test_names_of_a_splits_pictures(self, folder):
        found = load_calibration(folder, "imagenet", SHAPE)
        named = [name for split in SPLITS for name in found.names(split)]
        assert sorted(named) == sorted(file.name for file in folder.iterdir())
        recipe = find_preprocess("imagenet", SHAPE[1:])
        for name, example in zip(found.names("report"), found.report, strict=True):
            pixels = np.asarray(Image.open(folder / name))
            np.testing.assert_array_equal(recipe(pixels, SHAPE[1:]), example)

    def test_a_seed_decides_over_the_split(self, folder):
        splits = [load_calibration(folder, "unit", SHAPE, seed=seed).split for seed in (0, 1, 1)]
        assert splits[0] != splits[1] == splits[2]

    def test_grey_networks_get_grey_pictures(self, folder):
        found = load_calibration(folder, "unit", (1, 1, 16, 16), crops=1)
        assert found.fit.shape == (4, 1, 16, 16)


class TestWithoutConfirm:
    """What was made before there was a confirm split: hashes and splits are those of then."""

    def test_pictures(self, tmp_path):
        for number in range(9):
            pixels = bytes([20 * number]) * 1200
            (tmp_path / f"{number}.ppm").write_bytes(b"P6 20 20 255\n" + pixels)
        found = load_calibration(tmp_path, "unit", SHAPE, seed=3, confirm=False)
        assert found.sha256 == "c2d67933f6843d2e36f7dfabb759794add9f04ce1e985551c93b226e62693444"
        assert found.split == Split((7, 5, 8, 4, 2), (0, 3), (), (1, 6))
        assert found.examples == {"fit": 130, "select": 32, "report": 32}

    def test_ready_tensors(self, tmp_path):
        rows = np.arange(18, dtype=np.float32).reshape(9, 2)
        np.savez(tmp_path / "a.npz", inputs=rows)
        found = load_calibration(tmp_path / "a.npz", None, (1, 2), seed=3, confirm=False)
        assert found.sha256 == "86ef4f6340f084720f86ae8a7bcac66d89d414a65982125036aab154c40dd993"
        assert np.array_equal(found.report, rows[[1, 4]])


class TestPreprocess:
    def test_imagenet_by_hand(self):
        image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
        example = find_preprocess("imagenet", (3, 224, 224))(image, (3, 224, 224))
        resized = Image.fromarray(image).resize((341, 256), Image.Resampling.BILINEAR)
        pixels = np.asarray(resized)[16:240, 58:282] / 255
        expected = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        np.testing.assert_allclose(example, expected.transpose(2, 0, 1), atol=1e-5)

    def test_caffe_bgr_with_channels_last(self):
        image = np.zeros((256, 256, 3), np.uint8)
        image[:] = (10, 20, 30)
        example = find_preprocess("caffe-bgr", (224, 224, 3))(image, (224, 224, 3))
        assert example.shape == (224, 224, 3)
        np.testing.assert_allclose(example[0, 0], [30 - 104, 20 - 117, 10 - 123])

    @given(st.integers(16, 60), st.integers(16, 60))
    def test_any_size_becomes_the_networks(self, height, width):
        image = np.zeros((height, width, 3), np.uint8)
        for name in ("imagenet", "caffe-bgr", "unit"):
            assert find_preprocess(name, SHAPE[1:])(image, SHAPE[1:]).shape == SHAPE[1:]

    def test_toml(self, tmp_path):
        path = tmp_path / "mine.toml"
        path.write_text(
            'resize = [18, 20]\ncrop = 16\nlayout = "NHWC"\nchannel_order = "BGR"\n'
            "scale = 1\nmean = [1, 2, 3]\nstd = [2, 2, 2]\n"
        )
        recipe = find_preprocess(str(path), (16, 16, 3))
        image = np.zeros((50, 40, 3), np.uint8)
        image[:] = (3, 2, 1)
        example = recipe(image, (16, 16, 3))
        assert example.shape == (16, 16, 3)
        assert (example == np.array([0, 0, 0], np.float32)).all()
        with pytest.raises(CalibrationError, match="16"):
            recipe(image, (12, 12, 3))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("size = 3", "unknown setting size"),
            ("resize = -1", "resize cannot be -1"),
            ("crop = true", "crop cannot be True"),
            ('layout = "CHW"', "layout"),
            ("std = [0, 1, 1]", "std"),
            ("mean = 3", "mean"),
            ("resize = ", "no TOML"),
        ],
    )
    def test_toml_that_is_wrong(self, tmp_path, text, message):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(CalibrationError, match=message):
            find_preprocess(str(tmp_path / "bad.toml"), SHAPE[1:])

    def test_callable(self, folder, tmp_path, monkeypatch):
        monkeypatch.delitem(sys.modules, "users_pictures", raising=False)
        (tmp_path / "users_pictures.py").write_text(
            "import numpy as np\n"
            "def half(image):\n    return np.full((3, 16, 16), image.mean() / 2)\n"
            "def corner(image):\n    return image[:16, :16].transpose(2, 0, 1)\n"
            "corner.resizes = False\n"
            "def wrong(image):\n    return image\n"
            "def broken(image):\n    raise ValueError('no')\n"
        )
        found = load_calibration(folder, "users_pictures:half", SHAPE, crops=2)
        assert found.fit.shape == (8, 3, 16, 16)
        assert 50 < found.fit.mean() < 80
        assert found.report.shape[0] == 2
        found = load_calibration(folder, "users_pictures:corner", SHAPE)
        assert found.report.shape[0] == REPORT_EXAMPLES
        for name in ("wrong", "broken", "none"):
            with pytest.raises(CalibrationError, match=name):
                _ = load_calibration(folder, f"users_pictures:{name}", SHAPE).fit

    def test_an_edited_callable_is_another(self, folder, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        hashes = set()
        for size in (1, 2):
            monkeypatch.delitem(sys.modules, "edited_pictures", raising=False)
            (tmp_path / "edited_pictures.py").write_text(f"def mine(image):\n    return {size}\n")
            hashes.add(load_calibration(folder, "edited_pictures:mine", SHAPE).sha256)
        assert len(hashes) == 2

    def test_unknown(self):
        with pytest.raises(CalibrationError, match="imagenet, caffe-bgr, unit"):
            find_preprocess("resnet", SHAPE[1:])
        with pytest.raises(CalibrationError, match="cannot read"):
            find_preprocess("none.toml", SHAPE[1:])

    def test_recipe_that_does_not_resize_says_so(self):
        assert Recipe("a", resize=8).resizes
        assert not Recipe("a").resizes


class TestNpz:
    def save(self, path: Path, **arrays: np.ndarray) -> Path:
        np.savez(path, **arrays)
        return path

    def test_rows_are_split(self, tmp_path, noise):
        rows = noise(9, *SHAPE[1:])
        found = load_calibration(self.save(tmp_path / "a.npz", inputs=rows), None, SHAPE)
        assert (found.images, found.preprocess) == (9, "none")
        together = np.concatenate([found.make(name) for name in SPLITS])
        assert np.array_equal(np.sort(together.ravel()), np.sort(rows.ravel()))
        again = load_calibration(self.save(tmp_path / "b.npz", other=rows[::-1]), "none", SHAPE)
        assert again.sha256 == found.sha256
        assert np.array_equal(again.report, found.report)
        for number, row in zip(found.names("confirm"), found.confirm, strict=True):
            assert np.array_equal(rows[int(number.removeprefix("row "))], row)

    def test_another_split_is_another_hash(self, tmp_path, noise):
        path = self.save(tmp_path / "a.npz", inputs=noise(9, *SHAPE[1:]))
        rules = [(0, True), (1, True), (0, False)]
        found = {load_calibration(path, None, SHAPE, seed=s, confirm=c).sha256 for s, c in rules}
        assert len(found) == 3

    def test_equal_rows_count_once(self, tmp_path, noise):
        rows = noise(4, *SHAPE[1:])
        path = self.save(tmp_path / "a.npz", inputs=np.concatenate([rows, rows]))
        assert load_calibration(path, None, SHAPE).images == 4

    def test_problems(self, tmp_path, noise):
        rows = noise(4, *SHAPE[1:])
        good = self.save(tmp_path / "a.npz", inputs=rows)
        with pytest.raises(CalibrationError, match="leave --preprocess out"):
            load_calibration(good, "imagenet", SHAPE)
        with pytest.raises(
            CalibrationError, match=r"shape \(n, 3, 16, 16\), but the network takes \(n, 3, 8, 8\)"
        ):
            load_calibration(good, None, (1, 3, 8, 8))
        with pytest.raises(CalibrationError, match="at least 3"):
            load_calibration(self.save(tmp_path / "b.npz", x=rows[:2]), None, SHAPE)
        with pytest.raises(CalibrationError, match="one array"):
            load_calibration(self.save(tmp_path / "c.npz", p=rows, q=rows), None, SHAPE)
        with pytest.raises(CalibrationError, match="not finite"):
            load_calibration(self.save(tmp_path / "d.npz", x=rows * np.nan), None, SHAPE)
        objects = np.array([{"a": 1}] * 4, dtype=object)
        for name, data in (("e.npz", b"hello"), ("f.npz", good.read_bytes()[:500])):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(CalibrationError, match="cannot be read"):
                load_calibration(tmp_path / name, None, SHAPE)
        with pytest.raises(CalibrationError, match="cannot be read"):
            load_calibration(self.save(tmp_path / "g.npz", x=objects), None, SHAPE)
        with pytest.raises(CalibrationError, match="cannot be read"):
            load_calibration(tmp_path / "none.npz", None, SHAPE)
