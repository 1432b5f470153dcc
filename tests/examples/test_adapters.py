"""Adapters by hand and those of peft: trained, saved, loaded, merged."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def examples() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module


def test_adapters_by_hand_are_trained_saved_loaded_and_merged(
    examples: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    examples("lora").main()

    assert "304 of 724" in capsys.readouterr().out


def test_a_file_of_adapters_holds_nothing_of_the_base_and_needs_all_of_its_own(
    examples: Any,
) -> None:
    lora = examples("lora")
    net = lora.network()
    lora.adapt(net, "{0,2}")
    data = burnish.save_record(net, only=burnish.trainable)
    more = lora.network()
    lora.adapt(more, "0")

    paths = [entry.path for entry in burnish.open_record(data).entries()]

    assert paths == ["0.down", "0.up", "2.down", "2.up"]
    with pytest.raises(burnish.records.RecordMismatchError, match=r"2\.down"):
        burnish.load_record(more, data, allow_missing=lora.is_frozen)


def test_a_merged_network_has_the_ids_of_the_base(examples: Any) -> None:
    lora = examples("lora")
    net = lora.network()
    ids = [param.id for param in burnish.named_params(net)]

    lora.adapt(net, "{0,2}")
    lora.merge(net)

    assert [param.id for param in burnish.named_params(net)] == ids
    assert [p.path for p in burnish.named_params(net)] == [
        *("0.weight", "0.bias", "2.weight", "2.bias")
    ]
    assert torch.equal(net[0].weight, lora.network()[0].weight)


def test_adapters_of_peft_are_trained_saved_loaded_and_merged(
    examples: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft", reason="examples/lora_peft.py needs peft")

    examples("lora_peft").main()

    assert "304 of 724" in capsys.readouterr().out


def test_the_example_with_peft_says_what_it_needs(
    examples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)

    with pytest.raises(ImportError, match="pip install peft"):
        examples("lora_peft").adapted()
