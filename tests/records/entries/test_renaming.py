"""Names of entries changed as a record is opened."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.config import DeleteField, MapFieldValue, RenameField
from burnish.core import SplitTensor
from burnish.records import (
    Record,
    RecordMismatchError,
    open_record,
)
from burnish.records.entries.entries import library_part, with_parts


def test_rename_takes_whole_names_and_beginnings(file: Path) -> None:
    renamed = open_record(file, rename={"encoder": "trunk", "head.weight": "out.w"})

    assert list(renamed) == ["trunk.0.weight", "trunk.0.bias", "out.w", "steps"]
    assert renamed.reading.renamed["head.weight"] == "out.w"


def test_rename_refuses_unknown_names_and_collisions(file: Path) -> None:
    with pytest.raises(
        ValueError, match=r"nothing is stored at 'heda'\. Did you mean 'head'"
    ):
        open_record(file, rename={"heda": "x"})
    with pytest.raises(RecordMismatchError, match="are both renamed to steps"):
        open_record(file, rename={"head.weight": "steps"})


@pytest.mark.parametrize(
    ("rename", "problem"),
    [
        ({"layer": None}, "'layer' to None; both must be paths"),
        ({3: "layer"}, "3 to 'layer'; both must be paths"),
        ([("layer", "other")], r"\('layer', 'other'\) is not a rewrite rule"),
        ({"layer": ["a", "b"]}, "SplitTensor"),
        (str.upper, r"rename: got .* expected a dict, as in \{'old': 'new'\}"),
        (3, "rename: got 3, expected a dict"),
        ([SplitTensor("layer.weight", ["a", "b"])], "upgrade_rules="),
        ([MapFieldValue("layer.weight", abs)], "upgrade_rules="),
    ],
)
def test_what_is_no_renaming_is_refused_in_words(rename: Any, problem: str) -> None:
    state = Record.from_state_dict({"layer.weight": torch.ones(2)})

    with pytest.raises(TypeError, match=problem):
        open_record(state, rename=rename)


def test_an_empty_new_name_moves_what_stood_below_up() -> None:
    state = Record.from_state_dict({"model.w": torch.ones(2), "b": torch.ones(1)})

    assert set(open_record(state, rename={"model": ""})) == {"w", "b"}
    with pytest.raises(ValueError, match="'b' is an entry and needs a name"):
        open_record(state, rename={"b": ""})


def test_an_empty_old_name_puts_a_prefix_before_what_has_no_other_one() -> None:
    state = Record.from_state_dict({"w": torch.ones(2), "head.b": torch.ones(1)})

    assert set(open_record(state, rename={"": "model"})) == {"model.w", "model.head.b"}
    renamed = open_record(state, rename={"": "model", "head": "out"})
    assert set(renamed) == {"model.w", "out.b"}


def test_a_pattern_of_an_old_name_is_told_that_patterns_mean_the_new_ones() -> None:
    data = Record.from_state_dict({"a.w": torch.ones(2), "b": torch.ones(1)}).save()

    with pytest.raises(ValueError, match=r"'a\.w' matches nothing.*after rename="):
        open_record(data, rename={"a": "c"}, only="a.w")
    assert [*open_record(data, rename={"a": "c"}, only="c.w")] == ["c.w"]


VERSIONS = {"": 5, "enc": 1, "enc.block": 2, "dec": 3}
PATHS = ["enc.w", "enc.v", "enc.block.w", "dec.w", "bias"]


@pytest.mark.parametrize(
    ("rename", "versions"),
    [
        ({"enc": "trunk"}, {"": 5, "trunk": 1, "trunk.block": 2, "dec": 3}),
        (
            {"enc.w": "trunk.a", "enc.v": "trunk.v", "enc.block.w": "trunk.block.w"},
            {"": 5, "trunk": 1, "trunk.block": 2, "dec": 3},
        ),
        ({"enc": "dec", "dec": "enc"}, {"": 5, "dec": 1, "dec.block": 2, "enc": 3}),
        (
            {"": "net"},
            {"net": 5, "net.enc": 1, "net.enc.block": 2, "net.dec": 3},
        ),
        ({"enc.w": "enc.weight"}, VERSIONS),
        ({"enc.w": "out.w"}, VERSIONS),
        (
            [DeleteField("dec"), RenameField("enc", "dec")],
            {"": 5, "dec": 1, "dec.block": 2},
        ),
        (
            [RenameField("enc.*", "trunk.*")],
            {"": 5, "trunk": 1, "trunk.block": 2, "dec": 3},
        ),
    ],
)
def test_versions_of_classes_go_where_their_tensors_went(
    rename: Any, versions: dict[str, int]
) -> None:
    below = {path: version for path, version in VERSIONS.items() if path}
    ours = {"version": 5, "versions": below}
    tensors = {path: torch.ones(2) for path in PATHS}
    record = with_parts(Record.from_state_dict(tensors), metadata={"burnish": ours})

    renamed = library_part(open_record(record, rename=rename).metadata)

    assert _versions(renamed) == versions


def test_versions_move_up_with_what_stood_below() -> None:
    ours = {"version": 5, "versions": {"module": 1, "module.block": 2}}
    tensors = {path: torch.ones(2) for path in ("module.w", "module.block.w")}
    record = with_parts(Record.from_state_dict(tensors), metadata={"burnish": ours})

    renamed = library_part(open_record(record, rename={"module": ""}).metadata)

    assert _versions(renamed) == {"": 1, "block": 2}


def _state_dict_of_versions() -> OrderedDict[str, torch.Tensor]:
    state = OrderedDict({"enc.w": torch.ones(2), "dec.w": torch.ones(1)})
    versions = {"": 1, "enc": 3, "dec": 2}
    state._metadata = {path: {"version": n} for path, n in versions.items()}  # type: ignore[attr-defined]  # torch hangs it there
    return state


def test_what_torch_says_of_classes_goes_where_their_tensors_went(
    tmp_path: Path,
) -> None:
    record = Record.from_state_dict(_state_dict_of_versions())
    once = open_record(record, rename={"enc": "trunk"})
    once.save(tmp_path / "renamed.mpk")

    for renamed in (
        once,
        open_record(open_record(record, rename={"enc": "x"}), rename={"x": "trunk"}),
        open_record(tmp_path / "renamed.mpk"),
    ):
        assert renamed.class_versions["trunk"] == 3
        assert "enc" not in renamed.class_versions
        metadata: Any = renamed.to_state_dict()
        assert metadata._metadata["trunk"] == {"version": 3}
        assert metadata._metadata["dec"] == {"version": 2}


def test_a_leaf_renamed_to_a_longer_name_leaves_its_class_in_place() -> None:
    record = Record.from_state_dict(_state_dict_of_versions())

    renamed = open_record(record, rename={"enc.w": "enc.new_w"})

    assert renamed.class_versions == {"": 1, "enc": 3, "dec": 2}


def test_what_torch_says_of_classes_comes_with_a_part() -> None:
    record = Record.from_state_dict(_state_dict_of_versions())

    part = open_record(open_record(record)["enc"])

    assert part.class_versions == {"": 3}


def _versions(ours: Mapping[str, Any]) -> dict[str, int]:
    root = {"": ours["version"]} if "version" in ours else {}
    return {**root, **ours.get("versions", {})}
