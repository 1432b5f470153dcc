from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from burnish.config import (
    RewriteRule,
    Versioned,
)
from burnish.config.schema import (
    SchemaChecker,
    assert_compatible,
    dump_schema,
    load_schema,
    schema_of,
)

from .versions import FIXED, OLD, check, cli, struct


def test_the_report_of_a_rename() -> None:
    old = struct(("lr", float), ("batch_size", int, 512))
    new = struct(("learning_rate", float), ("batch_size", int, 512))

    assert (
        check(old, new).report()
        == """\
warn  field renamed to learning_rate: lr
warn  schema changed but version identical
Schema incompatible

Proposed mitigations
- add upgrade rules:
    0: [
        RenameField(old_field=('lr',), new_field=('learning_rate',)),
    ],
- bump version to 1"""
    )


UNFIXED = struct(("learning_rate", float), ("batch_size", int, 512))


def test_checking_and_upgrading_before_and_after_the_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config-schema.ron"
    assert cli(OLD, "dump-schema", file) == 0
    stored = file.read_bytes()

    assert cli(UNFIXED, "check-schema", file) == 1
    assert cli(UNFIXED, "upgrade-schema", file) == 1
    assert file.read_bytes() == stored
    assert "Schema incompatible" in capsys.readouterr().out
    assert cli(FIXED, "check-schema", file) == 0
    assert cli(FIXED, "upgrade-schema", file) == 0
    assert capsys.readouterr().out == "Schema compatible\nSchema updated\n"
    assert load_schema(file) == schema_of(FIXED)


def test_no_command_is_usage_with_status_two(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli(OLD) == 2
    assert "upgrade-config" in capsys.readouterr().err


def test_old_configs_are_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.ron"
    file.write_text("Config(lr: 0.1, batch_size: 5)")
    other = tmp_path / "b.ron"
    other.write_text('(lr: "step: 1@0 0@9")')
    before = file.read_bytes()

    assert cli(FIXED, "upgrade-config", file, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "-Config(lr: 0.1, batch_size: 5)" in shown
    assert "+    learning_rate: 0.1," in shown
    assert file.read_bytes() == before

    assert cli(FIXED, "upgrade-config", file, other) == 0
    assert capsys.readouterr().out == f"{file}\n{other}\n"
    text = "Config(\n    version: 1,\n    learning_rate: 0.1,\n    batch_size: 5,\n)\n"
    assert file.read_text() == text
    assert '"step: 1@0 0@9"' in other.read_text()
    assert "batch_size" not in other.read_text()
    assert cli(FIXED, "upgrade-config", other, "--include-defaults") == 0
    assert "batch_size: 512" in other.read_text()


def test_a_bad_file_does_not_keep_the_others_from_being_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "bad.ron", tmp_path / "good.json"
    bad.write_text("(zz: 1)")
    good.write_text('{"lr": 1}')

    assert cli(FIXED, "upgrade-config", bad, good) == 1

    assert "learning_rate" in good.read_text()
    assert bad.read_text() == "(zz: 1)"
    assert f"error: {bad}" in capsys.readouterr().err


def test_a_class_without_a_version_is_told_to_get_one() -> None:
    @dataclass
    class Before:
        lr: float

    @dataclass
    class After:
        learning_rate: float

    report = SchemaChecker(schema_of(Before), After).report()

    assert "derive After from burnish.config.Versioned" in report


def test_the_helper_for_ones_own_tests(tmp_path: Path) -> None:
    file = tmp_path / "config-schema.ron"
    dump_schema(OLD, file)

    assert_compatible(file, FIXED)
    with pytest.raises(AssertionError, match="field renamed to learning_rate"):
        assert_compatible(file, UNFIXED)


def test_a_rule_of_ones_own_moves_the_fields_of_a_schema() -> None:
    class Shorter(RewriteRule):
        def rename(self, path: str) -> str | None:
            return None if path == "gone" else path.replace("learning_", "")

        def apply(self, tree: Any) -> None:
            for name in list(tree):
                value, new = tree.pop(name), self.rename(name)
                if new is not None:
                    tree[new] = value

    @dataclass
    class Before:
        learning_rate: float = 0.1
        gone: int = 1

    @dataclass
    class After(Versioned):
        rate: float = 0.1

        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> Any:
            return {0: [Shorter()]}

    assert SchemaChecker(schema_of(Before), After).changes == []
