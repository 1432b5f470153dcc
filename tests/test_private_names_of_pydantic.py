"""Which names of pydantic the library uses that pydantic does not promise.

One that goes fails here by name, with the versions that had it.
"""

from pathlib import Path

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from burnish.config import Hparams
from burnish.config.classes import pydantic_internals

ROOT = Path(__file__).parent.parent
LAYERS = ["config", "records", "core", "optim", "train", "cli"]
RUN = "2.10 and 2.14"

NAMES = {
    "__pydantic_validator__": RUN,
    "__pydantic_complete__": RUN,
    "__pydantic_extra__": RUN,
    "__pydantic_fields_set__": RUN,
    "__pydantic_decorators__": RUN,
}
"""On which versions of pydantic each was there."""


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    n: int = 0

    @field_validator("n")
    @classmethod
    def even(cls, n: int) -> int:
        return 2 * n


class Plain(BaseModel):
    n: int = 0


@pytest.mark.parametrize("name", NAMES)
def test_pydantic_still_has_the_private_name(name: str) -> None:
    assert hasattr(Open(), name), (
        f"pydantic {pydantic.VERSION} has no {name}, which was there on {NAMES[name]}; "
        "look for what replaced it in pydantic's own code"
    )


def test_each_function_finds_what_its_name_is_used_for() -> None:
    validator = pydantic_internals.validator_of_model(Open)

    assert validator.validate_python({"n": "3"}) == Open(n=3)
    assert pydantic_internals.is_complete(Open)
    assert pydantic_internals.extra_values(Open.model_validate({"m": 1})) == {"m": 1}
    assert pydantic_internals.extra_values(Plain()) == {}
    assert pydantic_internals.has_validators(Open)
    assert not pydantic_internals.has_validators(Plain)
    assert isinstance(Plain, pydantic_internals.metaclass_of_models())


def test_nested_hyperparameters_are_made_without_their_constructor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Nested(Hparams):
        n: int = 0

    class Whole(Hparams):
        nested: Nested

    calls: list[object] = []
    monkeypatch.setattr(Nested, "__init__", lambda self, **_: calls.append(self))

    assert Whole.model_validate({"nested": {"n": 1}}).nested.n == 1
    assert calls == []


def test_private_names_of_pydantic_stand_in_one_module() -> None:
    home = ROOT / "config/classes/pydantic_internals.py"
    files = [f for layer in LAYERS for f in sorted((ROOT / layer).rglob("*.py"))]

    others = [
        str(file.relative_to(ROOT))
        for file in files
        if file != home
        and any(
            name in file.read_text()
            for name in (*NAMES, "__pydantic_base_init__", "pydantic._internal")
        )
    ]

    assert others == []
