"""Names that are imported when they are first used."""

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
