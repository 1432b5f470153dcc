"""Names that are imported when they are first used."""

import importlib
import json

import pytest

from burnish.config.lazy_exports import lazily


def test_a_name_is_looked_up_in_its_module_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(json, "JSONDecodeError")
    get, _ = lazily("json", {"JSONDecodeError": "decoder"})

    assert get("JSONDecodeError") is json.JSONDecodeError


def test_an_unknown_name_is_an_attribute_error() -> None:
    get, _ = lazily("json", {"JSONDecoder": "decoder"})

    with pytest.raises(AttributeError, match="'json' has no attribute 'Decoder'"):
        get("Decoder")


def test_names_and_packages_are_listed_in_order() -> None:
    _, names = lazily("json", {"b": "x", "a": "x"}, ("p",))

    assert names() == ["a", "b", "p"]


@pytest.mark.parametrize(
    ("package", "name", "home"),
    [
        ("train", "AdamW", "burnish.optim.AdamW"),
        ("optim", "Checkpoints", "burnish.Checkpoints"),
        ("records", "load_record", "burnish.load_record"),
        ("core", "Recorder", "burnish.records.Recorder"),
        ("config", "HyperState", "burnish.train.HyperState"),
    ],
)
def test_a_name_of_a_neighbouring_package_is_told_where_it_is(
    package: str, name: str, home: str
) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; it is {home}$"):
        getattr(importlib.import_module(f"burnish.{package}"), name)
