"""Files are rewritten at the newest version, and keep what a person wrote."""

import json
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from burnish.config import (
    AddDefault,
    ChangeDefault,
    Hparams,
    MapFieldValue,
    RenameField,
    RewriteRule,
    Versioned,
    dumps,
    load,
)
from burnish.config.schema.upgraded_file import upgraded_file

from .versions import cli, struct

FORMATS = ["json", "yaml", "ron"]


@dataclass(frozen=True)
class Optimizer:
    lr: float = 0.1
    momentum: float = 0.9


def after(cls: Any, file: Path, text: str, **options: Any) -> str:
    file.write_text(text)
    result = upgraded_file(cls, file, include_defaults=False, **options)
    return " ".join(result.after.split())


@pytest.mark.parametrize("form", FORMATS)
def test_a_value_that_somebody_wrote_stays_although_it_is_the_default(
    tmp_path: Path, form: str
) -> None:
    old = struct(("lr", float, 0.1), ("batch_size", int, 512), ("seed", int, 0))
    new = struct(
        ("learning_rate", float, 0.1),
        ("batch_size", int, 512),
        ("seed", int, 0),
        version=1,
        rules={0: [RenameField("lr", "learning_rate")]},
    )
    file = tmp_path / f"a.{form}"
    file.write_text(dumps(old(), form))
    text = dumps(old(), form)
    file.write_text("\n".join(line for line in text.splitlines() if "seed" not in line))
    if form == "json":
        file.write_text('{"lr": 0.1, "batch_size": 512}')

    assert cli(new, "upgrade-config", file) == 0

    rewritten = file.read_text()
    assert "seed" not in rewritten
    places = [rewritten.index(n) for n in ("version", "learning_rate", "batch_size")]
    assert places == sorted(places)
    assert load(new, file) == new()


def test_defaults_that_rules_supply_are_not_what_somebody_wrote(tmp_path: Path) -> None:
    new = struct(
        ("lr", float, 0.2),
        ("seed", int, 0),
        ("optimizer", Optimizer, Optimizer()),
        version=2,
        rules={
            0: [ChangeDefault("lr", 0.1, 0.2), AddDefault("seed", 0)],
            1: [AddDefault("optimizer.momentum", 0.9)],
        },
    )

    assert after(new, tmp_path / "a.ron", "()") == "Config( version: 2, lr: 0.1, )"


def test_a_rule_that_counts_on_a_default_before_it_is_no_obstacle(
    tmp_path: Path,
) -> None:
    class Moves(RewriteRule):
        def apply(self, tree: Any) -> None:
            tree["rate"] = tree.pop("lr")

    new = struct(
        ("rate", float, 0.1),
        ("seed", int, 0),
        version=1,
        rules={0: [AddDefault("lr", 0.5), Moves()]},
    )

    text = after(new, tmp_path / "a.ron", "(seed: 0)")

    assert text == "Config( version: 1, rate: 0.5, seed: 0, )"


class Inner(Hparams, Versioned):
    width: int = 8
    depth: int = 2

    @classmethod
    def version(cls) -> int:
        return 1

    @classmethod
    def upgrade_rules(cls) -> Any:
        return {0: [RenameField("dim", "width")]}


@dataclass
class Nested:
    one: Inner = field(default_factory=Inner)
    maybe: Inner | None = None
    many: list[Inner] = field(default_factory=list[Inner])
    named: dict[str, Inner] = field(default_factory=dict[str, Inner])
    numbered: dict[int, Inner] = field(default_factory=dict[int, Inner])
    pair: tuple[Inner, int] = field(default_factory=lambda: (Inner(), 1))
    act: Literal["relu", "gelu"] = "relu"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"one": {"dim": 8}}', '{"one": {"version": 1, "width": 8}}'),
        ('{"maybe": {"depth": 2}}', '{"maybe": {"version": 1, "depth": 2}}'),
        ('{"maybe": null, "act": "relu"}', '{"maybe": null, "act": "relu"}'),
        (
            '{"many": [{}, {"dim": 8}, {"depth": 3}]}',
            '{"many": [{"version": 1}, {"version": 1, "width": 8}, '
            '{"version": 1, "depth": 3}]}',
        ),
        (
            '{"named": {"a": {"depth": 2}}, "numbered": {"3": {"dim": 8}}}',
            '{"named": {"a": {"version": 1, "depth": 2}}, '
            '"numbered": {"3": {"version": 1, "width": 8}}}',
        ),
        ('{"many": []}', '{"many": []}'),
    ],
)
def test_what_is_written_stays_in_everything_that_nests(
    tmp_path: Path, text: str, expected: str
) -> None:
    written = after(Nested, tmp_path / "a.json", text)

    assert json.loads(written) == json.loads(expected)


@dataclass
class Sgd:
    lr: float = 0.1


@dataclass
class Choice:
    optimizer: Sgd | Optimizer = field(default_factory=Sgd)
    options: list[Sgd | Optimizer] = field(default_factory=list[Any])
    seed: int = 0


def test_unions_of_configs_are_written_as_ever(tmp_path: Path) -> None:
    text = "(optimizer: Sgd(lr: 0.1), options: [Optimizer(lr: 0.1)], seed: 0)"

    rewritten = after(Choice, tmp_path / "a.ron", text)

    assert "Sgd( lr: 0.1, )" in rewritten
    assert "Optimizer( lr: 0.1, momentum: 0.9, )" in rewritten
    assert "seed: 0" in rewritten


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "# mine\nversion: 1\nlearning_rate: 1e-1  # as ever\n"),
        ("a.ron", "// mine\n(version: 1, learning_rate: 1e-1)"),
        ("a.json", '{"learning_rate": 0.10, "version": 1}'),
    ],
)
def test_a_file_that_says_it_all_stays_to_the_letter(
    tmp_path: Path, name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    new = struct(
        ("learning_rate", float, 0.1),
        version=1,
        rules={0: [RenameField("lr", "learning_rate")]},
    )
    file = tmp_path / name
    file.write_text(text)

    assert cli(new, "upgrade-config", file) == 0

    assert file.read_text() == text
    assert capsys.readouterr().out == f"{file}\n"


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.yaml", "# one\nlr: 0.1 # two\nnote: 'no # comment'\n# three\n", "1, 2, 4"),
        ("a.yaml", "lr: 0.1\nnote: |\n  # text\n  more\n", ""),
        ("a.ron", '(lr: 0.1, // one\n note: "// no", /* two\n */ )\n//e', "1, 2, 4"),
    ],
)
def test_comments_that_do_not_stay_are_told(
    tmp_path: Path,
    name: str,
    text: str,
    lines: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = struct(
        ("rate", float),
        ("note", str, ""),
        version=1,
        rules={0: [RenameField("lr", "rate")]},
    )
    file = tmp_path / name
    file.write_text(text)

    assert cli(new, "upgrade-config", file, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert cli(new, "upgrade-config", file) == 0
    told = capsys.readouterr().out

    assert (f"the comments on these lines would be left out: {lines}\n" in shown) == (
        lines != ""
    )
    end = f"the comments on these lines were left out: {lines}\n" if lines else ""
    assert told == f"{file}\n{end}"


def test_a_value_that_nothing_keeps_is_refused_and_the_file_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @dataclass
    class Scaled:
        scale: InitVar[float] = 1.0
        lr: float = 0.1

        def __post_init__(self, scale: float) -> None:
            self.lr = self.lr * scale

    file = tmp_path / "a.json"
    file.write_text('{"scale": 2.0}')

    for options in ([], ["--include-defaults"]):
        assert cli(Scaled, "upgrade-config", file, *options) == 1
        assert file.read_text() == '{"scale": 2.0}'
        assert "scale" in capsys.readouterr().err


def test_a_mapped_value_stays_where_it_came_out_at_the_default(tmp_path: Path) -> None:
    new = struct(
        ("lr", float, 0.1),
        version=1,
        rules={0: [MapFieldValue("lr", lambda x: x / 10)]},
    )

    text = after(new, tmp_path / "a.ron", "(lr: 1.0)")

    assert text == "Config( version: 1, lr: 0.1, )"
