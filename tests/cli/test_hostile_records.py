"""Records that are odd or damaged go through the command that reads records."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.cli.main import main

from ..campaigns.mutations import FORGERS, mutated
from ..campaigns.odd_files import ODD_FILES
from ..records.hostile_files import FILES

N = 25


def hostile(name: str) -> Iterator[bytes]:
    """Return damaged files of a format, the same ones each time."""
    draw, whole = random.Random(name), FILES[name]()
    for _ in range(N):
        yield mutated(whole, draw)
        if name in FORGERS:
            yield FORGERS[name](whole, draw)


@pytest.mark.parametrize("name", [*FILES, "odd"])
def test_hostile_records_are_refused_in_words_and_stay_as_they_are(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, statuses = tmp_path / "x", set[int]()
    files = ODD_FILES[::20] if name == "odd" else hostile(name)

    for data in files:
        file.write_bytes(data)
        status = main(["upgrade", str(file)])
        shown = capsys.readouterr()
        statuses.add(status)

        if status:
            assert shown.err.startswith("error: ")
            assert str(file) in shown.err
            assert file.read_bytes() == data
        assert "Traceback" not in shown.err
        assert [f.name for f in tmp_path.iterdir()] == ["x"]

    assert statuses & {1, 2}
    assert statuses <= {0, 1, 2}
