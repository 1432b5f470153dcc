"""Files are written today as they were, byte for byte, whatever moves in the code."""

import warnings

import pytest

from . import spellings, spellings_of_kinds


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    with warnings.catch_warnings():
        # Some of these values come back as others, which is said elsewhere.
        warnings.simplefilter("ignore", UserWarning)
        return spellings.texts() | spellings_of_kinds.texts()


FILES = sorted(file.name for file in spellings.FOLDER.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_every_kind_of_value_is_written_as_before(
    name: str, texts: dict[str, str]
) -> None:
    assert texts[name] == (spellings.FOLDER / name).read_text()


def test_every_kind_of_file_is_compared(texts: dict[str, str]) -> None:
    assert sorted(texts) == FILES
