"""A URL is text, to which names are added as to a path."""

import os
import pickle
from pathlib import Path

import pytest

from burnish.records import Url
from burnish.records.io.remote.url import path_or_url


@pytest.mark.parametrize(
    ("text", "name", "parent"),
    [
        ("s3://bucket/run/net.mpk", "net.mpk", "s3://bucket/run"),
        ("s3://bucket/run/", "run", "s3://bucket"),
        ("memory://run", "run", "memory://"),
        ("s3://bucket/with space/%41#b?c", "%41#b?c", "s3://bucket/with space"),
        ("simplecache::s3://bucket/run", "run", "simplecache::s3://bucket"),
    ],
)
def test_a_url_has_a_name_and_a_folder(text: str, name: str, parent: str) -> None:
    url = Url(text)

    assert (url.name, url.parent) == (name, parent)
    assert url.parent / url.name == url


def test_a_url_is_text_wherever_one_is_taken() -> None:
    url = Url("s3://bucket/run/")

    assert url == "s3://bucket/run"
    assert os.fspath(url) == "s3://bucket/run"
    assert pickle.loads(pickle.dumps(url)) == url  # our own bytes


def test_a_place_is_an_absolute_path_or_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)

    assert path_or_url("a/b.mpk") == tmp_path / "a/b.mpk"
    assert path_or_url("c:\\x") == tmp_path / "c:\\x"
    assert path_or_url(f"file://{tmp_path}/a b#c") == tmp_path / "a b#c"
    assert isinstance(path_or_url("memory://run"), Url)
