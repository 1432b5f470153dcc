"""Schemas in files, and files that are none."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from burnish.config import (
    ConfigError,
    ConfigVersionError,
    Hparam,
    Hparams,
)
from burnish.config.schema import (
    SchemaChecker,
    dump_schema,
    load_schema,
    schema_of,
)

from .versions import FIXED, OLD, Old, check, cli


def test_a_missing_or_foreign_schema_file_is_an_error_not_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.ron"
    for text in (
        "(a: 1)",
        'Struct(name: "x", fields: {"a": 1})',
        "Struct(nam: 1)",
        "[",
    ):
        file.write_text(text)
        assert cli(OLD, "check-schema", file) == 2
    assert cli(OLD, "check-schema", tmp_path / "none.ron") == 2
    assert cli(OLD, "dump-schema", tmp_path / "s.json") == 2
    assert capsys.readouterr().err.count("error: ") == 6


@dataclass
class Leaf:
    lr: float = 0.1
    sizes: list[int] = field(default_factory=lambda: [1])


class Everything(Hparams):
    a: dict[str, int] = Hparam(default_factory=dict)
    b: tuple[float, str] = (1.0, "x")
    c: int | list[float] | None = None
    d: Literal["x", 5] = "x"
    e: Old = Old.MAZE
    leaf: Leaf = Leaf()
    leaves: list[Leaf] = Hparam(default_factory=lambda: [Leaf(2.0)])
    by_name: dict[str, Leaf] = Hparam(default_factory=dict)
    either: Leaf | Literal["none"] = "none"
    tree: "Everything | None" = None
    path: Path = Path("x")
    any: Any = None
    t: tuple[int, ...] = ()


def test_a_dumped_schema_is_compatible_with_its_class(tmp_path: Path) -> None:
    file = tmp_path / "s.ron"

    dump_schema(Everything, file)

    assert load_schema(file) == schema_of(Everything)
    checker = SchemaChecker(load_schema(file), Everything)
    assert (checker.changes, checker.compatible) == ([], True)


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(ConfigVersionError, match=r"version 1.*at 0"):
        check(FIXED, OLD)


def test_foreign_files_are_refused_as_schemas(tmp_path: Path) -> None:
    file = tmp_path / "s.ron"
    file.write_text('Field(name: "x", type: Primitive(type: "int"))')

    with pytest.raises(ConfigError, match="not a schema"):
        load_schema(file)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('Struct(name: "x", fields: [])', r"Struct has \[\] as its fields"),
        ('Struct(name: "x", fields: {"a": 1})', "as its fields"),
        ("Struct(name: 3, fields: {})", "3 as its name"),
        ('Struct(name: "x", fields: {}, version: "1")', "'1' as its version"),
        ('Struct(name: "x", fields: {"a": Field(name: "a", type: 3)})', "as its type"),
        ("Struct(fields: {})", "name"),
        (
            'Struct(name: "x", fields: {None: Field(name: "a", type: Ref(name: ""))})',
            "as its fields",
        ),
        ("Blob(x: 1)", "unknown kind 'Blob'"),
    ],
)
def test_an_edited_schema_that_makes_no_sense_is_told(
    tmp_path: Path, text: str, why: str
) -> None:
    file = tmp_path / "s.ron"
    file.write_text(text)

    with pytest.raises(ConfigError, match=why) as told:
        load_schema(file)

    assert str(file) in str(told.value)


class Sets(Hparams):
    tags: set[str]
    groups: dict[str, frozenset[int]]
    sizes: list[int]


def test_an_older_file_that_says_nothing_of_sets_is_of_those_of_the_class(
    tmp_path: Path,
) -> None:
    file = tmp_path / "schema.ron"
    dump_schema(Sets, file)
    text = file.read_text()
    assert text.count("is_set: true") == 2
    file.write_text(re.sub(r"\s*is_set: (true|false),", "", text))

    assert SchemaChecker(load_schema(file), Sets).changes == []
