import copy
import dataclasses
import json
import pickle
import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pytest
from omegaconf import OmegaConf
from pydantic import Field, ValidationError, computed_field, model_validator

from burnish.config import ConfigError, Hparam, Hparams
from burnish.config.hparams import define_hparams


class Plain(Hparams):
    """What every example here is about."""

    lr: float = Hparam(default=1e-3, gt=0)
    dim: int = Hparam(default=128, ge=1)


class Nested(Hparams):
    optimizer: Plain = Plain()
    name: str = "net"


class OptimizerPart(Hparams):
    module_name: str = "torch.optim.Adam"
    kwargs: dict[str, Any] = Hparam(default_factory=dict)


class Run(Hparams):
    optimizer: OptimizerPart = OptimizerPart()
    scheduler: OptimizerPart | None = OptimizerPart()
    precision: Literal["highest", "high", "medium"] = "highest"
    patience: int = Hparam(default=3, ge=0)


# As text, since type checkers rightly see that these fields hide methods.
AWKWARD = """
class Awkward(Hparams):
    keys: int = 1
    items: str = "i"
    copy: bool = False
    model_config: dict[str, int] = {}
    model_fields: int = 2
    register: float = 0.5
    validate: list[int] = []
    _weight: float = Hparam(default=0.5, gt=0)
    at: int = 7

class MoreAwkward(Awkward):
    values: int = 3
"""


def awkward(name: str) -> Any:
    """Return the class that is called ``name`` above; no warning may be given."""
    namespace = {"Hparams": Hparams, "Hparam": Hparam, "__name__": __name__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(AWKWARD, namespace)
    return namespace[name]


class Heads(Hparams):
    dim: int = 64
    heads: int = 4

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own idiom
    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


def test_building_without_values_gives_the_defaults() -> None:
    hparams = Plain()

    assert (hparams.lr, hparams.dim) == (0.001, 128)


def test_a_broken_constraint_is_a_value_error_that_names_the_field() -> None:
    with pytest.raises(ValueError, match="lr"):
        Plain(lr=-1)
    with pytest.raises(ValidationError, match="lr"):
        Plain(lr=-1)


@pytest.mark.parametrize("given", ["3", 3.0])
def test_text_and_whole_floats_become_ints(given: Any) -> None:
    assert Plain(dim=given).dim == 3


def test_a_fraction_does_not_become_an_int() -> None:
    with pytest.raises(ValueError, match="dim"):
        Plain(dim=3.5)  # type: ignore[arg-type]  # the mistake


def test_it_is_a_mapping_from_names_to_values() -> None:
    hparams = Plain()

    assert list(hparams.items()) == [("lr", 0.001), ("dim", 128)]
    assert list(hparams.values()) == [0.001, 128]
    assert {**hparams} == {"lr": 0.001, "dim": 128}
    assert len(hparams) == 2
    assert list(hparams) == list(hparams.keys()) == ["lr", "dim"]
    assert hparams == {"lr": 0.001, "dim": 128}
    assert hparams != {"lr": 0.001}


def test_unknown_names_behave_as_in_any_mapping() -> None:
    hparams = Plain()

    assert "zz" not in hparams
    assert "from_dict" not in hparams
    assert hparams.get("zz", 1) == 1
    with pytest.raises(KeyError, match="zz"):
        hparams["zz"]
    with pytest.raises(KeyError, match="from_dict"):
        hparams["from_dict"]
    with pytest.raises(KeyError, match="Did you mean 'dim'"):
        hparams["dmi"]


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="zz"):
        Plain(zz=1)  # type: ignore[call-arg]  # the mistake
    with pytest.raises(ConfigError, match=r"optimizer\.lrr: .*Did you mean 'lr'"):
        Nested.from_dict({"optimizer": {"lrr": 1}})


def test_a_bad_assignment_is_refused_and_changes_nothing() -> None:
    hparams = Plain()

    with pytest.raises(ValueError, match="lr"):
        hparams.lr = -5

    assert hparams.lr == 0.001


def test_an_assignment_that_a_validator_of_the_whole_refuses_changes_nothing() -> None:
    class Range(Hparams):
        low: int = 1
        high: int = 5
        width: int = 0

        @model_validator(mode="after")
        def check_order(self) -> Self:
            object.__setattr__(self, "width", self.high - self.low)
            if self.width < 0:
                raise ValueError("low must be at most high")
            return self

    hparams = Range()
    hparams.low = 2

    with pytest.raises(ValueError, match="low must be at most high"):
        hparams.low = 9

    assert hparams == Range(low=2, width=3)
    assert hparams.model_fields_set == {"low"}


def test_a_validator_may_assign_what_follows_from_other_fields() -> None:
    class Derived(Hparams):
        width: int = 4
        double: int = 0
        folder: Path = Path()
        sizes: list[int] = Hparam(default_factory=list)
        rate: float = Field(default=0.0, alias="the-rate")

        @model_validator(mode="after")
        def derive(self) -> Self:
            self.double = self.width * 2
            self.folder = f"net-{self.double}"  # type: ignore[assignment]  # converted
            self.sizes = [self.width, self.double]
            self.rate = self.width
            return self

    hparams = Derived(width=3)
    assert hparams == {
        "width": 3,
        "double": 6,
        "folder": Path("net-6"),
        "sizes": [3, 6],
        "the-rate": 3.0,
    }
    hparams.width = 5
    assert hparams == Derived(width=5)
    assert Derived.loads(hparams.dumps()) == hparams == Derived.loads("(width: 5)")


def test_what_a_validator_assigns_is_checked() -> None:
    class Derived(Hparams):
        width: int = 4
        share: float = Hparam(default=1.0, gt=0)

        @model_validator(mode="after")
        def derive(self) -> Self:
            self.share = 4 - self.width / 4
            return self

    hparams = Derived()

    with pytest.raises(ValidationError, match="share"):
        hparams.width = 16

    assert hparams == {"width": 4, "share": 3.0}


def test_a_copy_takes_new_values_by_the_names_of_fields() -> None:
    fields = {"items": (int, 1), "_x": (int, 2), "lr": (float, 0.1)}
    odd = define_hparams("Odd", fields)

    copied = odd().model_copy(update={"items": 5, "_x": 6})

    assert dict(copied) == {"items": 5, "_x": 6, "lr": 0.1}
    with pytest.raises(ValueError, match=r"Odd has no field 'itms'.*'items'"):
        copied.model_copy(update={"itms": 5})


def test_a_key_selects_a_part_of_a_yaml_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("m: {lr: 0.5, dim: 4}\n")
    empty = tmp_path / "empty.yaml"
    empty.write_text("")

    assert Plain.from_yaml(file, key="m") == Plain(lr=0.5, dim=4)
    with pytest.raises(ConfigError, match=r"c\.yaml: zz: no such key.*Found: m"):
        Plain.from_yaml(file, key="zz")
    assert Plain.from_yaml(empty) == Plain()
    with pytest.raises(ConfigError, match="zz"):
        Plain.from_yaml(empty, key="zz")


def test_omegaconf_is_resolved_and_what_is_missing_is_named() -> None:
    config = OmegaConf.create({"x": 0.3, "lr": "${x}"})
    nested = OmegaConf.create({"x": 0.3, "m": {"lr": "${x}"}})
    missing = OmegaConf.create({"lr": "???"})

    assert Plain.from_config(config, ignore_extra=True).lr == 0.3
    assert Plain.from_config(nested.m).lr == 0.3
    assert Plain.from_config(nested, key="m").lr == 0.3
    with pytest.raises(ConfigError, match="lr"):
        Plain.from_config(missing)


def test_nested_ones_are_typed_and_survive_a_dump() -> None:
    hparams = Nested.from_dict({"optimizer": {"lr": 1}})

    assert isinstance(hparams.optimizer, Plain)
    assert Nested.from_dict(hparams.to_dict()) == hparams
    changed = hparams.model_copy(update={"name": "other"})
    assert (hparams.name, changed.name) == ("net", "other")


def test_defaults_and_choices_of_a_run_hold() -> None:
    run = Run()

    assert run.optimizer.module_name == "torch.optim.Adam"
    assert run.optimizer.kwargs == {}
    assert (run.precision, run.patience) == ("highest", 3)
    with pytest.raises(ValueError, match="precision"):
        Run(precision="x")  # type: ignore[arg-type]  # the mistake


def test_null_in_yaml_is_none(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("scheduler: null\n")

    assert Run.from_yaml(file).scheduler is None


def test_an_exponent_without_a_dot_is_a_number_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("optimizer: {kwargs: {lr: 1e-3}}\n")

    lr = Run.from_yaml(file).optimizer.kwargs["lr"]

    assert isinstance(lr, float)
    assert lr == 0.001


@pytest.mark.parametrize("suffix", ["json", "yaml", "yml", "ron"])
def test_every_format_gives_back_what_was_dumped(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"c.{suffix}"
    hparams = Nested(optimizer=Plain(lr=0.25, dim=7), name='a "b" ü\n')

    hparams.dump(file)

    assert Nested.load(file) == hparams


def test_each_named_reader_reads_its_format(tmp_path: Path) -> None:
    hparams = Plain(lr=0.25)
    for suffix in ("json", "yaml", "ron"):
        hparams.dump(tmp_path / f"c.{suffix}")

    assert Plain.from_json(tmp_path / "c.json") == hparams
    assert Plain.from_yaml(tmp_path / "c.yaml") == hparams
    assert Plain.from_ron(tmp_path / "c.ron") == hparams
    assert Plain.loads(hparams.dumps("json"), "json") == hparams


def test_loading_takes_a_key_and_overrides(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"run": {"optimizer": {"lr": 0.5}}}))

    loaded = Nested.load(file, key="run", overrides=["optimizer.dim=9", "name=x=y"])

    assert loaded == Nested(optimizer=Plain(lr=0.5, dim=9), name="x=y")


def test_names_that_pydantic_or_the_mapping_need_are_fields_all_the_same() -> None:
    cls = awkward("MoreAwkward")

    hparams = cls(keys=5, model_config={"a": 1}, _weight=0.25, validate=[1], values=4)

    assert dict(hparams) == {
        "keys": 5,
        "items": "i",
        "copy": False,
        "model_config": {"a": 1},
        "model_fields": 2,
        "register": 0.5,
        "validate": [1],
        "_weight": 0.25,
        "at": 7,
        "values": 4,
    }
    assert callable(hparams.keys)
    assert "_weight=0.25" in repr(hparams)
    for format in ("json", "yaml", "ron"):
        assert cls.loads(hparams.dumps(format), format) == hparams


def test_constraints_hold_for_reserved_names() -> None:
    cls = awkward("Awkward")

    with pytest.raises(ValueError, match="_weight"):
        cls(_weight=-1)
    with pytest.raises(ConfigError, match="_weight"):
        cls.from_dict({"_weight": -1})


def test_classes_can_be_made_from_names_and_types() -> None:
    fields = {"_weight": (float, 0.5), "keys": (int, ...)}

    made = define_hparams("Made", fields, module=__name__)

    assert dict(made(keys=1)) == {"_weight": 0.5, "keys": 1}
    with pytest.raises(ValueError, match="keys"):
        made()


def test_class_variables_and_methods_are_not_fields() -> None:
    class WithMethod(Hparams):
        kind: ClassVar[str] = "x"
        width: int = 1

        def double(self) -> int:
            return 2 * self.width

    hparams = WithMethod()

    assert list(hparams) == ["width"]
    assert hparams.double() == 2


def test_computed_fields_are_only_in_the_extended_dict_which_loads_too() -> None:
    hparams = Heads(dim=32)

    assert hparams.to_dict() == {"dim": 32, "heads": 4}
    assert hparams.to_dict(computed=True) == {"dim": 32, "heads": 4, "head_dim": 8}
    assert Heads.from_dict(hparams.to_dict(computed=True)) == hparams


def test_a_class_may_allow_or_ignore_what_it_does_not_declare() -> None:
    class Open(Hparams, extra="allow"):
        a: int = 1

    class Lenient(Hparams, extra="ignore"):
        a: int = 1

    opened = Open.loads("(a: 2, b: (c: x))")
    assert opened.model_extra == {"b": {"c": "x"}}
    assert Open.loads(opened.dumps()) == opened
    assert Lenient.loads("(a: 2, b: 3)") == Lenient(a=2)


def test_a_mapping_has_what_a_class_allows_beside_its_fields() -> None:
    class Open(Hparams, extra="allow"):
        a: int = 1

    opened = Open.from_dict({"a": 1, "b": 2})

    assert dict(opened) == {**opened} == opened.to_dict() == {"a": 1, "b": 2}
    assert opened == {"a": 1, "b": 2}
    assert (opened["b"], opened.get("b"), len(opened), "b" in opened) == (2, 2, 2, True)
    with pytest.raises(KeyError, match="no field 'c'"):
        opened["c"]


def test_frozen_ones_can_be_keys() -> None:
    class Key(Hparams, frozen=True):
        a: int = 1

    assert {Key(): 1}[Key(a=1)] == 1


def test_copies_and_pickles_are_equal() -> None:
    hparams = Nested(optimizer=Plain(lr="step: 1@0 lin 0.1@9"))  # type: ignore[arg-type]  # text

    for twin in (copy.deepcopy(hparams), pickle.loads(pickle.dumps(hparams))):
        assert twin == hparams
        assert twin.dumps() == hparams.dumps()


def test_a_dataclass_of_hparams_is_refused_with_the_cure() -> None:
    class Twice(Hparams):
        n: int = 1

    with pytest.raises(TypeError, match=r"Twice is an Hparams.* remove @dataclass"):
        dataclasses.dataclass(Twice)

    assert Twice().n == 1
