"""An error of a load says what helps with this very problem, and it does help."""

import ast
import re

import pytest
from torch import nn

import burnish
from burnish.core import load_record
from burnish.optim import AdamW
from burnish.records import RecordMismatchError, open_record


class Net(burnish.Module):
    def __init__(self, width: int = 4, classes: int = 2) -> None:
        super().__init__()
        self.stem = nn.Linear(3, width)
        self.head = nn.Linear(width, classes)


def error_of(module: nn.Module, source: object) -> str:
    with pytest.raises(RecordMismatchError) as error:
        load_record(module, source)  # type: ignore[arg-type]  # whatever is readable
    return str(error.value)


def test_another_shape_is_told_to_build_or_exclude_and_nothing_that_does_not_help() -> (
    None
):
    data = Net().save_record()
    net = Net(classes=5)

    text = error_of(net, data)

    assert "Net.from_record(file) passes the stored arguments" in text
    assert "strict=False" not in text
    assert "allow_missing" not in text
    written = re.search(r"exclude=(\[.*?\])", text)
    assert written is not None
    exclude = ast.literal_eval(written[1])
    record = open_record(data, exclude=exclude)
    report = load_record(net, record, hyperparameters="ignore")
    assert report.loaded == ["stem.weight", "stem.bias"]


def test_a_part_that_was_replaced_is_told_to_whoever_passed_the_stored_arguments() -> (
    None
):
    def build() -> Net:
        net = Net()
        net.head = nn.Linear(4, 5)
        return net

    data = build().save_record()

    with pytest.raises(RecordMismatchError, match=r"from_record\(build, file\)"):
        Net.from_record(data)
    assert burnish.from_record(build, data).head.out_features == 5


def test_many_other_shapes_are_told_by_some_names() -> None:
    text = error_of(Net(width=8), Net().save_record())

    assert "exclude=['stem.weight', 'stem.bias', 'head.weight'])" in text
    layers = nn.Sequential(*[nn.Linear(2, 2) for _ in range(3)])
    others = nn.Sequential(*[nn.Linear(3, 3) for _ in range(3)])
    text = error_of(others, burnish.save_record(layers))
    assert "exclude=['0.weight', '1.weight', '2.weight', ...])" in text


def test_a_file_without_hyperparameters_names_no_from_record() -> None:
    text = error_of(nn.Linear(2, 3), burnish.save_record(nn.Linear(2, 2)))

    assert "from_record" not in text
    assert "exclude=['weight', 'bias']" in text


@pytest.mark.parametrize("only", [None, "head.**"])
def test_a_part_of_a_record_is_told_where_it_is(only: str | None) -> None:
    record = open_record(Net().save_record(), only=only)
    layer = nn.Linear(4, 2)

    text = error_of(layer, record)

    assert "open_record(file)['head']" in text
    load_record(layer, record["head"])


def test_a_record_of_a_part_is_told_where_it_belongs() -> None:
    stem = nn.Linear(3, 4)

    text = error_of(Net(), burnish.save_record(stem))

    assert "load_record(module.stem, file)" in text


def test_a_part_of_other_shapes_is_named_all_the_same() -> None:
    text = error_of(nn.Linear(9, 9), Net().save_record())

    assert "below 'head'" in text


def test_names_with_another_beginning_are_told_the_renaming() -> None:
    record = open_record(Net().save_record(), rename={"stem": "model.trunk"})

    text = error_of(Net(), record)

    assert "rename={'model.trunk': 'stem'}" in text
    load_record(Net(), open_record(record, rename={"model.trunk": "stem"}))


def test_names_that_no_renaming_explains_get_the_general_cure() -> None:
    record = open_record(Net().save_record(), rename={"stem": "a", "head": "b"})

    text = error_of(Net(), record)

    assert "rename={old: new}" in text
    assert "strict=False" in text


def test_shapes_and_names_are_told_together() -> None:
    record = open_record(Net().save_record(), rename={"stem": "trunk"})

    text = error_of(Net(classes=3), record)

    assert "exclude=['head.weight', 'head.bias']" in text
    assert "rename={'trunk': 'stem'}" in text


def test_hyperparameters_alone_say_nothing_of_names_and_shapes() -> None:
    class Dropped(burnish.Module):
        def __init__(self, p: float = 0.1) -> None:
            super().__init__()
            self.lin = nn.Linear(2, 2)
            self.drop = nn.Dropout(p)

    text = error_of(Dropped(0.5), Dropped().save_record())

    assert 'hyperparameters="ignore"' in text
    assert "exclude" not in text
    assert "rename" not in text


def test_the_record_of_an_optimizer_is_told_who_loads_it() -> None:
    net = Net()
    optim = AdamW().bind(net, lr=0.1)

    assert "optimizer.load_record(file)" in error_of(net, optim.into_record())


def test_a_record_with_declared_fields_names_its_class() -> None:
    class Progress(burnish.Record):
        step: int

    text = error_of(Net(), Progress(3))

    assert "Progress.load(file)" in text


def test_what_only_the_module_has_is_told_as_the_pattern_that_allows_it() -> None:
    data = burnish.save_record(nn.ModuleDict({"body": nn.Linear(2, 2)}))
    net = nn.ModuleDict({"body": nn.Linear(2, 2), "head": nn.Linear(2, 3)})

    with pytest.raises(RecordMismatchError, match="allow_missing='head") as refusal:
        burnish.load_record(net, data)

    assert "rename=" not in str(refusal.value)
    assert burnish.load_record(net, data, allow_missing="head.**").missing


def test_what_only_the_record_has_is_told_as_the_pattern_that_leaves_it_out() -> None:
    net = nn.ModuleDict({"body": nn.Linear(2, 2), "head": nn.Linear(2, 3)})
    data = burnish.save_record(net)
    del net["head"]

    with pytest.raises(RecordMismatchError, match="exclude='head") as refusal:
        burnish.load_record(net, data)

    assert "rename=" not in str(refusal.value)
    assert burnish.load_record(net, burnish.open_record(data, exclude="head.**"))


def test_a_name_of_a_tied_tensor_is_none_too_many() -> None:
    """It was to be renamed to what the record lacks."""
    net = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    net["b"].weight = net["a"].weight
    data = burnish.save_record(net)
    net["new"] = nn.Linear(2, 3, bias=False)

    with pytest.raises(RecordMismatchError, match="allow_missing='new") as refusal:
        burnish.load_record(net, data)

    assert "rename=" not in str(refusal.value)
