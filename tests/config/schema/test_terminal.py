"""Reports have colors in a terminal alone."""

import io

import pytest

from burnish.config.schema.terminal import paint


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _colors_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_an_error_is_red_and_other_lines_are_plain() -> None:
    assert paint("error a\nb", Terminal()) == "\x1b[31merror a\x1b[0m\nb"


def test_a_file_gets_no_colors() -> None:
    assert paint("error a", io.StringIO()) == "error a"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    assert paint("error a", Terminal()) == "error a"
