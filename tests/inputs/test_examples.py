"""What networks take, as values: which axes are batches, what is made up, what fits."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.errors import ModelError
from rankwise.inputs.asked_inputs import with_asked
from rankwise.inputs.examples import AskedInput, Examples, NetworkInputs, concatenated
from rankwise.ops.made_up import InputSpec, all_made_up


def tokens() -> NetworkInputs:
    ids = np.arange(12).reshape(3, 4)
    arrays = {"ids": ids, "mask": np.ones((3, 4), np.int64), "table": np.eye(5, dtype=np.float32)}
    return NetworkInputs.of(arrays).limited({"ids": 9})


def test_the_length_of_most_first_axes_is_the_batch() -> None:
    found = tokens()
    assert (found.batch, [spec.batched for spec in found.specs]) == (3, [True, True, False])
    assert not found.plain
    assert NetworkInputs.picture((2, 3, 8, 8)).plain


def test_a_scalar_alone_has_no_batch() -> None:
    with pytest.raises(ModelError, match="none of the network's inputs has a batch axis"):
        NetworkInputs.of({"scale": np.float32(2) * np.ones((), np.float32)})


def test_a_type_that_no_input_may_have() -> None:
    with pytest.raises(ModelError, match="input z is of type complex64, which is not known"):
        NetworkInputs.of({"z": np.zeros((2, 2), np.complex64)})


def test_made_up_examples_can_be_chosen_from_tables_and_masks_are_kept() -> None:
    made = tokens().noise(200, seed=1)
    assert isinstance(made, Examples)
    ids, mask, table = made.arrays
    assert (ids.shape, ids.dtype) == ((200, 4), np.int64)
    assert set(ids.ravel()) == set(range(9))
    assert (mask == 1).all()
    assert np.array_equal(table, np.eye(5))


def test_noise_for_pictures_is_what_it_always_was() -> None:
    wanted = np.random.default_rng(4).standard_normal((7, 3, 5, 5), dtype=np.float32)
    assert np.array_equal(NetworkInputs.picture((2, 3, 5, 5)).noise(7, seed=4), wanted)


def test_two_inputs_alike_get_numbers_of_their_own() -> None:
    first, second = all_made_up([InputSpec("a", (2, 4)), InputSpec("b", (2, 4))])
    assert not np.array_equal(first, second)


def test_slices_lists_and_repetition_leave_what_has_no_batch() -> None:
    made = tokens().noise(6, seed=0)
    assert isinstance(made, Examples)
    part = made[4:6].repeated_to(5)
    assert (len(part), part.arrays[2].shape) == (5, (5, 5))
    assert np.array_equal(part.arrays[0][1:], np.repeat(made.arrays[0][5:6], 4, axis=0))
    assert np.array_equal(concatenated([made[:2], made[2:]]).arrays[0], made.arrays[0])
    assert np.array_equal(made[[3, 1]].arrays[0], made.arrays[0][[3, 1]])


def test_hashes_tell_examples_apart_by_content_type_and_what_they_share() -> None:
    made = tokens().noise(6, seed=0)
    assert isinstance(made, Examples)
    hashes = made.hashes()
    assert len(set(hashes)) == 6
    assert made[[2]].hashes() == [hashes[2]]
    other = Examples(made.inputs, (*made.arrays[:2], 2 * made.arrays[2]))
    assert not set(other.hashes()) & set(hashes)


def test_another_batch_repeats_the_rows() -> None:
    larger = tokens().resized(7)
    assert [spec.shape for spec in larger.specs] == [(7, 4), (7, 4), (5, 5)]
    assert np.array_equal(larger.arrays[0][3:6], tokens().arrays[0])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"ids": np.ones((2, 4), int)}, "there is no array for the network's input 'mask'"),
        ({"ids": np.ones((2, 4), int), "mask": np.ones((3, 4))}, "is of type float64.*int64"),
        (
            {"ids": np.ones((2, 4), int), "mask": np.ones((3, 4), int)},
            "different numbers of examples: ids 2, mask 3",
        ),
        ({"ids": np.ones((2, 5), int)}, r"'ids' has the shape \(n, 5\).* takes \(n, 4\)"),
        ({"ids": np.full((2, 4), 9)}, "'ids' holds 9, but the network has 9 rows to choose from"),
        ({"ids": np.full((2, 4), -1)}, "'ids' holds -1"),
        ({"words": np.ones((2, 4), int)}, "has no input 'words'; it has ids, mask, table"),
    ],
)
def test_what_does_not_fit(given: dict[str, np.ndarray], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        tokens().taken(given)


def test_one_array_for_several_inputs() -> None:
    with pytest.raises(ModelError, match="give an array for each input: ids, mask, table"):
        tokens().taken(np.ones((2, 4)))


def test_numbers_that_are_not_finite() -> None:
    inputs = NetworkInputs.of({"x": np.ones((2, 3), np.float32), "y": np.ones((2, 3), np.float32)})
    wrong = {"x": np.full((1, 3), np.nan), "y": np.ones((1, 3))}
    with pytest.raises(ModelError, match="'x' holds numbers that are not finite"):
        inputs.taken(wrong)


def test_types_in_which_numbers_mean_the_same_are_changed() -> None:
    made = tokens().taken({"ids": np.ones((2, 4), np.uint8), "mask": np.ones((2, 4), bool)})
    assert isinstance(made, Examples)
    assert [array.dtype.name for array in made.arrays] == ["int64", "int64", "float32"]
    keep = NetworkInputs.of({"keep": np.ones((2, 3), bool)})
    assert keep.taken(np.array([[0, 1, 1]])).arrays[0].dtype == bool
    with pytest.raises(ModelError, match="'keep' is of type int64, but the network takes bool"):
        keep.taken(np.array([[0, 1, 2]]))


def test_inputs_that_are_asked_for_take_the_place_of_the_authors() -> None:
    found = with_asked(tokens(), [AskedInput("table", (6, 6)), AskedInput("ids", (3, 4), "int32")])
    ids, _, table = ((spec.shape, spec.dtype) for spec in found.specs)
    assert (ids, table) == (((3, 4), "int32"), ((6, 6), "float32"))
    for asked, sentence in (
        ([AskedInput("x", (1,))], "has no input 'x'; it has ids, mask, table"),
        ([AskedInput("ids", (1,))] * 2, "'ids' is described twice"),
        ([AskedInput("ids", (1,), "string")], "an input of type string is not supported"),
    ):
        with pytest.raises(ModelError, match=sentence):
            with_asked(tokens(), asked)


def test_specs_cross_to_other_processes() -> None:
    for spec in tokens().specs:
        assert InputSpec.from_json(spec.to_json()) == spec
