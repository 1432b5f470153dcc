# pyright: reportPrivateUsage=false
# The registry has no public way to forget a class.
"""A class that was renamed or that lost an argument says so, and reads old files."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import burnish
from burnish.config import DeleteField
from burnish.core.errors import UnknownClassError
from burnish.core.modules import registry
from burnish.records import RecordMismatchError


class Former(burnish.Module):
    def __init__(self, width: int = 4, depth: int = 1) -> None:
        super().__init__()
        self.lin = nn.Linear(2, width)


class Newer(burnish.Module):
    def __init__(self, width: int = 4, depth: int = 1) -> None:
        super().__init__()
        self.lin = nn.Linear(2, width)


def forget(classes: Any, key: Any) -> None:
    """Take out of a registry what stands under ``key``."""
    classes.entries = {k: cls for k, cls in classes.entries.items() if k != key}


@pytest.fixture
def gone(tmp_path: Path) -> Iterator[bytes]:
    """Return a record of a class that is no more, which wrote a folder too."""

    @burnish.module
    class Gone(nn.Module):
        def __init__(self, width: int = 4, depth: int = 1) -> None:
            super().__init__()
            self.lin = nn.Linear(2, width)

    net = Gone(width=6, depth=3)
    data = burnish.save_record(net)
    burnish.save_pretrained(net, tmp_path)
    forget(registry._places, (Gone.__module__, Gone.__qualname__))
    yield data
    forget(registry._names, Gone.__qualname__)


GONE = "gone.<locals>.Gone"


def test_a_class_with_a_former_name_reads_its_files(
    gone: bytes, tmp_path: Path
) -> None:
    burnish.register_class(Newer, name=GONE)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = Newer.from_record(gone, depth=2)

        assert (net.hparams["width"], net.hparams["depth"]) == (6, 2)
        assert isinstance(burnish.from_pretrained(tmp_path), Newer)
        Newer(width=6, depth=3).load_record(gone)
    with pytest.raises(RecordMismatchError, match="depth: stored 3"):
        Newer(width=6).load_record(gone)


def test_a_former_registered_name_goes_on_beside_the_new_one() -> None:
    burnish.register_class(Former, name="test/former")
    data = Former(width=6).save_record()
    forget(registry._names, "test/former")  # as in a program without the old class
    burnish.register_class(Newer, name="test/newer")
    burnish.register_class(Newer, name="test/former")

    try:
        net = Newer.from_record(data, depth=2)

        assert net.hparams["__registered__"] == "test/newer"
        assert net.hparams["width"] == 6
    finally:
        for name in ("test/former", "test/newer"):
            forget(registry._names, name)


def test_a_file_of_an_unknown_class_is_told_how_a_former_name_is_given(
    gone: bytes, tmp_path: Path
) -> None:
    cure = f"burnish.register_class(Newer, name={GONE!r})"

    with pytest.warns(UserWarning, match=re.escape(cure)):
        Newer.from_record(gone)
    with pytest.raises(UnknownClassError) as error:
        burnish.from_pretrained(tmp_path)
    assert f"burnish.register_class(NewName, name={GONE!r})" in str(error.value)


def test_a_file_of_a_class_that_is_there_is_not_the_renamed_ones() -> None:
    with pytest.raises(RecordMismatchError, match="remove the old one"):
        Newer.from_record(Former().save_record())


def test_an_argument_that_the_class_lost_is_answered_with_a_rule_that_works() -> None:
    data = Former(width=6, depth=2).save_record()

    class Slim(burnish.Module):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.lin = nn.Linear(2, width)

    class Ruled(burnish.Module, version=1, upgrade_rules={0: [DeleteField("depth")]}):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.lin = nn.Linear(2, width)

    for cls in (Slim, Ruled):
        cls.__qualname__ = "Former"
        cls.__module__ = __name__
    cure = r"version=1, upgrade_rules=\{0: \[DeleteField\('depth'\)\]\}.*RenameField"

    with pytest.raises(RecordMismatchError, match=cure):
        Slim.from_record(data)
    assert Ruled.from_record(data).lin.out_features == 6
