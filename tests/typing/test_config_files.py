"""What type checkers make of texts and files of configs."""

from dataclasses import dataclass
from pathlib import Path
from typing import assert_type

from burnish.config import Hparams, dump, load


@dataclass
class Plain:
    steps: int = 1


class Settings(Hparams):
    steps: int = 1


def test_a_dump_without_a_file_is_text_and_one_with_a_file_is_nothing(
    tmp_path: Path,
) -> None:
    assert_type(dump(Plain()), str)
    assert_type(dump(Plain(), format="json"), str)
    assert_type(Settings().dump(), str)
    assert_type(load(Plain, None), Plain)
    dump(Plain(), tmp_path / "a.ron")
