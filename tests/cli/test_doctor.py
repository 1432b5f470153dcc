import json
from typing import Any

import pytest

import burnish
from burnish.cli import doctor
from burnish.cli.main import main


def test_all_that_is_needed_is_told_and_works(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert main(["doctor"]) == 0

    text = capsys.readouterr().out
    assert burnish.__version__ in text
    assert "the parts that are tested are imported: works" in text
    assert "records are written and read: works" in text
    assert max(map(len, text.splitlines())) <= 80


def test_json_is_for_bug_reports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0

    document: Any = json.loads(capsys.readouterr().out)
    assert document["burnish"] == "doctor"
    assert document["versions"]["torch"]
    assert all(test["works"] for test in document["tests"])


def test_what_does_not_work_is_told_and_is_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise LookupError("no such thing")

    monkeypatch.setattr(doctor, "_TESTS", {"a step": fail})

    assert main(["doctor"]) == 1
    assert "a step: FAILS, LookupError: no such thing" in capsys.readouterr().out


def test_what_is_missing_is_told_with_its_cure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_TESTS", {})
    monkeypatch.setattr(doctor, "PACKAGES", {"torch": "", "no_such_package": "yaml"})
    monkeypatch.setattr(doctor, "NEEDED", ("torch",))

    assert main(["doctor"]) == 0
    assert "pip install 'burnish[yaml]'" in capsys.readouterr().out
