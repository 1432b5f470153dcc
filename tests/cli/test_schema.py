"""`burnish schema`: a class is checked with the files that it wrote."""

from pathlib import Path

import pytest

from burnish.cli.main import main

OLD = """\
from dataclasses import dataclass
from burnish.config import Hparams, RenameField, Versioned

@dataclass
class Config(Versioned):
    lr: float = 0.1

    @classmethod
    def version(cls) -> int:
        return 0

number = 3
"""


RENAMED = OLD.replace("lr: float", "learning_rate: float")


FIXED = RENAMED.replace("return 0", "return 1") + (
    "Config.upgrade_rules = classmethod(\n"
    "    lambda cls: {0: [RenameField(('lr',), ('learning_rate',))]}\n"
    ")\n"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def code(folder: Path, name: str, source: str) -> str:
    (folder / f"{name}.py").write_text(source)
    return f"{name}.py:Config"


def test_a_refactor_is_noticed_fixed_and_stored(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = code(folder, "old_conf", OLD)
    renamed = code(folder, "renamed_conf", RENAMED)
    fixed = code(folder, "fixed_conf", FIXED)
    (folder / "run.json").write_text('{"lr": 0.5}')

    assert main(["schema", "dump", old]) == 0
    assert main(["schema", "check", renamed]) == 1
    assert "RenameField(old_field=('lr',)" in capsys.readouterr().out
    assert main(["schema", "check", fixed]) == 0
    assert main(["schema", "upgrade", fixed]) == 0
    assert main(["schema", "upgrade-config", fixed, "run.json"]) == 0
    expected = '{\n  "version": 1,\n  "learning_rate": 0.5\n}\n'
    assert (folder / "run.json").read_text() == expected


def test_a_module_can_be_named_too(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code(folder, "conf_as_module", OLD)

    assert main(["schema", "dump", "conf_as_module:Config", "s.ron"]) == 0
    assert (folder / "s.ron").exists()
    assert capsys.readouterr().out == "s.ron: the schema of Config\n"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.py:Config", "nowhere.py does not exist"),
        ("no_such_module:Config", "no_such_module cannot be imported"),
        ("conf.py", "expected file.py:Name or module:Name"),
        ("broken.py:Config", "broken.py cannot be imported: ZeroDivisionError"),
        ("conf.py:Confg", "Did you mean 'Config'"),
        (
            "conf.py:number",
            "expected a class derived from Hparams, a dataclass, or a module",
        ),
    ],
)
def test_a_wrong_target_is_told_without_a_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str], target: str, message: str
) -> None:
    code(folder, "conf", OLD)
    code(folder, "broken", "1 / 0")

    assert main(["schema", "check", target]) == 2

    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert message in told


def test_a_missing_schema_file_says_how_to_make_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = code(folder, "conf_without_schema", OLD)

    assert main(["schema", "check", target]) == 2
    assert "write it with the dump command first" in capsys.readouterr().err
