"""Arrays of dtypes that numpy lacks."""

import numpy as np
import pytest
import torch

from burnish.records import (
    Entry,
    FlatRecord,
    Precision,
    Record,
    RecordError,
)
from burnish.records.tensors.arrays import (
    WITHOUT_ARRAYS,
    array_of_tensor,
    tensor_of_array,
)
from burnish.records.tensors.dtypes import BY_NAME


@pytest.mark.parametrize("order", ["<", ">"])
def test_values_come_back_whatever_their_byte_order(order: str) -> None:
    array = np.arange(6, dtype=f"{order}f8").reshape(2, 3).T

    tensor = tensor_of_array(array, "field")

    assert np.array_equal(array_of_tensor(tensor, "field"), array)


def test_the_tensor_is_a_copy() -> None:
    array = np.zeros(3)

    tensor = tensor_of_array(array, "field")
    array[0] = 1

    assert tensor.tolist() == [0, 0, 0]


def test_an_array_without_dimensions_keeps_none() -> None:
    assert tensor_of_array(np.array(1.5), "field").shape == ()


def test_a_masked_array_is_an_error_since_its_mask_would_go() -> None:
    with pytest.raises(TypeError, match=r"field: .*MaskedArray would be read back"):
        tensor_of_array(np.ma.masked_array([1.0]), "field")


def test_texts_are_no_plain_numbers() -> None:
    with pytest.raises(TypeError, match="field: an array of dtype <U1 is not plain"):
        tensor_of_array(np.array(["a"]), "field")


@pytest.mark.filterwarnings("ignore:ComplexHalf support")
@pytest.mark.parametrize("name", BY_NAME)
def test_every_dtype_of_files_has_an_array_or_an_error_that_says_so(name: str) -> None:
    tensor = torch.empty(0, dtype=BY_NAME[name])

    if BY_NAME[name] in WITHOUT_ARRAYS:
        with pytest.raises(RecordError, match=r"field: found .* numpy does not have"):
            array_of_tensor(tensor, "field")
    else:
        assert array_of_tensor(tensor, "field").shape == (0,)


class Curve(Record):
    points: np.ndarray
    name: bytes = b"loss"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_an_array_is_not_stored_in_a_dtype_that_numpy_lacks(dtype: torch.dtype) -> None:
    curve = Curve(points=np.arange(3.0))

    with pytest.raises(RecordError, match=r"points.*numpy.*keep='points'"):
        curve.save(precision=Precision(tensor=dtype))

    kept = Precision(tensor=dtype, keep="points")
    assert Curve.load(curve.save(precision=kept)).points.dtype == np.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e5m2])
@pytest.mark.parametrize("tag", ["$array", "$bytes"])
def test_a_file_whose_arrays_numpy_lacks_is_a_record_error(
    tag: str, dtype: torch.dtype
) -> None:
    plain = FlatRecord.of(
        [Entry("x", "tensor", dtype, (2,), torch.zeros(2).to(dtype))],
        tree={"$record": ["Anything", {"value": {tag: 0}}]},
        typed=True,
    )

    with pytest.raises(RecordError, match=r"x: found torch.*numpy does not have"):
        _ = plain["value"]
