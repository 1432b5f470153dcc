"""The state dict in a checkpoint is found, or none is guessed."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import RecordFormatError, open_record

from ..formats.torch_files import STATE, packed


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"state_dict": STATE, "epoch": 3}, "state_dict"),
        ({"epoch": 3, "loss": torch.tensor(0.1), "model": STATE}, "model"),
        (
            {"module": STATE, "optimizer": {"state": {0: {"m": torch.ones(1)}}}},
            "module",
        ),
        ({"params": STATE}, "params"),
        ({"a": {"b": STATE}}, "a.b"),
        ({"net": STATE, "lr": [0.1]}, "net"),
    ],
)
def test_the_state_dict_inside_a_checkpoint_is_found(content: Any, path: str) -> None:
    record = open_record(packed(content))

    assert set(record) == set(STATE)


@pytest.mark.parametrize("content", [{}, OrderedDict(), {"epoch": 3, "model": {}}])
def test_the_state_dict_of_a_module_without_tensors_is_empty(content: Any) -> None:
    assert not open_record(packed(content))


def test_weights_beside_the_state_dict_are_told() -> None:
    data = packed(
        {"model": STATE, "logit_scale": torch.ones(1), "loss": torch.ones(())}
    )

    with pytest.warns(
        UserWarning, match=r"'model' was read, not the other w.* \(1\): logit_scale"
    ):
        record = open_record(data)

    assert set(record) == set(STATE)


def test_of_two_state_dicts_none_is_guessed() -> None:
    data = packed({"generator": STATE, "critic": dict(STATE)})

    with pytest.raises(
        RecordFormatError, match=r"2 state dicts: generator, critic.*\['generator'\]"
    ):
        open_record(data)


def test_the_advice_for_several_state_dicts_has_keys_that_the_file_has() -> None:
    moments = {0: dict(STATE), 1: dict(STATE)}

    with pytest.raises(RecordFormatError, match=r"state\.0, .*\)\['state'\]\[0\]\)"):
        open_record(packed({"state": moments}))


@pytest.mark.parametrize("n", [2, 10, 11])
def test_at_most_ten_of_several_state_dicts_are_shown(n: int) -> None:
    names = [f"part{i:02}" for i in range(n)]
    data = packed({name: dict(STATE) for name in names})

    with pytest.raises(RecordFormatError) as caught:
        open_record(data)

    shown = ", ".join(names[:10]) + (", ..." if n > 10 else "")
    assert caught.value.found == f"{n} state dicts: {shown}"


@pytest.mark.parametrize("n", [1, 5, 6])
def test_at_most_five_weights_beside_the_state_dict_are_shown(n: int) -> None:
    names = [f"w{i}" for i in range(n)]
    data = packed({"model": STATE, **{name: torch.ones(1) for name in names}})

    shown = ", ".join(names[:5]) + (", ..." if n > 5 else "")
    with pytest.warns(
        UserWarning, match=rf"other weights in the file \({n}\): {shown}\. "
    ):
        open_record(data)


def test_state_dicts_beside_the_usual_one_are_told() -> None:
    data = packed({"state_dict": STATE, "epoch": 3, "model_ema": STATE})

    with pytest.warns(
        UserWarning, match=r"'state_dict' was read, not .*: model_ema\. To"
    ):
        record = open_record(data)

    assert list(record) == list(STATE)


def test_a_state_dict_is_looked_for_four_levels_deep() -> None:
    assert set(open_record(packed({"a": {"b": {"c": STATE}}}))) == set(STATE)
    with pytest.raises(RecordFormatError, match="without a state dict"):
        open_record(packed({"a": {"b": {"c": {"d": STATE}}}}))


@pytest.mark.parametrize(
    "content",
    [
        {"generator": STATE, "model": STATE, "state_dict": STATE},
        {"a": {"model": STATE}, "b": {"model": STATE}},
    ],
)
def test_two_state_dicts_of_usual_names_are_not_told_apart(content: Any) -> None:
    with pytest.raises(RecordFormatError, match="state dicts"):
        open_record(packed(content))


def test_a_usual_name_is_chosen_below_others_too() -> None:
    content = {"outer": {"ema": dict(STATE), "model": STATE}, "epoch": 1}

    with pytest.warns(
        UserWarning, match=r"'outer\.model' was read, not .*: outer\.ema\. "
    ):
        assert set(open_record(packed(content))) == set(STATE)


@pytest.mark.parametrize(
    ("blueprint", "problem"),
    [
        ("{", "not a blueprint"),
        ("3", "not a blueprint"),
        ("{}", "not a blueprint"),
        ('{"__module__": "m"}', "not a blueprint"),
    ],
)
def test_a_damaged_blueprint_of_a_checkpoint_is_refused(
    blueprint: str, problem: str
) -> None:
    content = {
        "state_dict": STATE,
        "hyper_parameters": {"burnish_blueprint": blueprint},
    }

    with pytest.raises(RecordFormatError, match=problem):
        open_record(packed(content))


@pytest.mark.parametrize(
    "options", [{}, {"burnish_blueprint": 3}, {"lr": 1}, [1], None]
)
def test_a_checkpoint_without_a_blueprint_tells_nothing_of_its_module(
    options: Any,
) -> None:
    record = open_record(packed({"state_dict": STATE, "hyper_parameters": options}))

    assert record.metadata == {}


def test_the_blueprint_of_a_checkpoint_is_in_the_metadata() -> None:
    text = '{"__module__": "m", "__name__": "Net", "width": 3}'
    options = {"burnish_blueprint": text}

    record = open_record(packed({"state_dict": STATE, "hyper_parameters": options}))

    stored = {"__module__": "m", "__name__": "Net"}
    assert record.metadata["burnish"]["hparams"] == {
        **stored,
        "__blueprint__": {**stored, "width": 3},
    }


def test_the_state_of_an_optimizer_is_told_apart_from_weights(tmp_path: Path) -> None:
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")

    with pytest.raises(RecordFormatError, match=r"optimizer.load_state_dict\(torch"):
        open_record(tmp_path / "optimizer.pt")
    torch.save({"optim": optimizer.state_dict()}, tmp_path / "nested.pt")
    with pytest.raises(RecordFormatError, match=r"\(optim\).*=True\)\['optim'\]\)"):
        open_record(tmp_path / "nested.pt")
