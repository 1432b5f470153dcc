"""Changes of tensors come back as they were put in, the farthest one first."""

import math
from typing import Any

from burnish.records.inspection.comparison import Distance
from burnish.train.inspection.tensor_changes import TensorChange, TensorChanges


def distance(**fields: Any) -> Distance:
    values: dict[str, Any] = {
        "n_values": 2**61,
        "n_changed": 3,
        "max_abs": 0.1,
        "max_rel": 2.0,
        "moved": 0.3,
        "norm": 1e-300,
        "norm_of_change": math.inf,
        "cosine": None,
        "is_close": False,
    }
    return Distance(**{**values, **fields})


def test_a_change_is_what_was_added() -> None:
    changes = TensorChanges()
    near, far = distance(cosine=-0.5, is_close=True), distance(moved=math.inf)

    changes.add("near", near)
    changes.add("far", far)

    assert changes.n_beyond == 1
    assert changes.rows(lambda path, d: 0.0) == [
        TensorChange("far", far, math.inf),
        TensorChange("near", near, 0.3),
    ]


def test_of_those_that_moved_alike_the_largest_difference_is_first() -> None:
    changes = TensorChanges()
    for path, max_abs in (("a", 1.0), ("b", 2.0), ("c", 1.0)):
        changes.add(path, distance(max_abs=max_abs))

    rows = changes.rows(lambda path, d: 0.0)

    assert [row.path for row in rows] == ["b", "a", "c"]


def test_a_tensor_that_was_zero_moved_as_its_layer_says() -> None:
    changes = TensorChanges()
    zero = distance(norm=0.0, moved=math.inf)
    changes.add("zero", zero)

    rows = changes.rows(lambda path, d: 7.0 if (path, d) == ("zero", zero) else 0.0)

    assert rows == [TensorChange("zero", zero, 7.0)]


def test_no_changes_are_no_rows() -> None:
    assert TensorChanges().rows(lambda path, d: 0.0) == []
