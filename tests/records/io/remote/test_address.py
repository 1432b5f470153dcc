"""Where a URL leads, and what is said of one that leads nowhere."""

import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import burnish
from burnish.records.io.remote.address import (
    Address,
    address_of,
    is_taken,
    is_url,
    local_or_url,
    open_in_order,
    size_at,
    storage_errors,
)


def test_a_url_is_told_from_a_path() -> None:
    assert is_url("s3://bucket/net.mpk")
    assert not is_url("C:/net.mpk")
    assert not is_url(Path("memory:/net.mpk"))
    assert not is_url(b"s3://bucket/net.mpk")


def test_a_url_of_this_machine_is_its_path(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")

    assert local_or_url(f"file://{tmp_path}/a.mpk") == f"{tmp_path}/a.mpk"
    assert local_or_url(tmp_path / "a.mpk") == f"{tmp_path}/a.mpk"
    assert isinstance(local_or_url("memory://a.mpk"), Address)


def test_what_lies_beside_an_object_has_its_folder() -> None:
    pytest.importorskip("fsspec")

    other = address_of("memory://run/1/model.mpk").beside("optim.mpk")

    assert (other.url, other.path) == ("memory://run/1/optim.mpk", "/run/1/optim.mpk")


def test_a_url_that_nothing_knows_and_a_package_that_lacks_are_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(
        ValueError, match=r"nowhere://a\.mpk is neither a path nor a URL"
    ):
        address_of("nowhere://a.mpk")

    monkeypatch.setitem(sys.modules, "fsspec", None)

    with pytest.raises(ImportError, match=r"s3://b/a\.mpk needs fsspec: pip install"):
        address_of("s3://b/a.mpk")


def test_what_stands_at_a_path_or_a_url_is_known_by_its_size(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    (tmp_path / "a").write_bytes(b"abc")
    fsspec.filesystem("memory").pipe_file("/sizes/a", b"abcd")

    assert size_at(tmp_path / "a") == 3
    assert size_at("memory://sizes/a") == 4
    assert size_at("memory://sizes") is None
    assert size_at("memory://sizes/none") is None
    assert (is_taken(tmp_path), is_taken(tmp_path / "b")) == (True, False)
    assert (is_taken("memory://sizes/a"), is_taken("memory://sizes/b")) == (True, False)
    with open_in_order("memory://sizes/a") as file:
        assert file.read() == b"abcd"


class OddCredentialsError(Exception):
    """What a package that knows a storage has for itself."""


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (PermissionError("no"), PermissionError, "no"),
        (FileNotFoundError("b/a"), FileNotFoundError, "b/a"),
        (KeyError("odd"), OSError, "odd"),
        (RuntimeError(), OSError, "RuntimeError"),
        (NotImplementedError(), OSError, "cannot be written"),
        (OddCredentialsError("none"), PermissionError, "none; pass them"),
        (OSError("at https://u:geheim@h/a?X-Amz-Signature=s3cr3t"), OSError, "u:...@h"),
    ],
)
def test_what_a_storage_raises_is_an_error_of_the_system_without_secrets(
    error: Exception, kind: type[OSError], text: str
) -> None:
    pytest.importorskip("fsspec")
    address = Address("ftp://user:geheim@host/a?token=s3cr3t&b=1", None, "a")

    with pytest.raises(kind) as raised, storage_errors(address):
        raise error

    assert text in str(raised.value)
    assert raised.value.filename == "ftp://user:...@host/a?token=...&b=1"
    assert "geheim" not in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


def test_nothing_is_sent_to_where_it_is_only_read() -> None:
    pytest.importorskip("aiohttp")

    with pytest.raises(OSError, match="read-only; save to a file"):
        burnish.save_record({"a": 1}, "https://user:pw@host.invalid/a.mpk")


LOOKUPS: list[Callable[[str], object]] = [
    size_at,
    burnish.open_record,
    lambda url: burnish.Checkpoints(url).steps,
]
"""What would take an answer of no file for an empty place."""


class Answering(BaseHTTPRequestHandler):
    """Answers every request by the number that is the first part of its path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadingHTTPServer(("localhost", 0), Answering)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [404, 410])
def test_what_a_server_does_not_have_is_missing(server: str, status: int) -> None:
    pytest.importorskip("aiohttp")

    assert size_at(f"{server}/{status}/net.mpk") is None
    with pytest.raises(FileNotFoundError):
        burnish.open_record(f"{server}/{status}/net.mpk")


@pytest.mark.parametrize(("status", "kind"), [(403, PermissionError), (500, OSError)])
def test_a_server_that_refuses_or_fails_does_not_say_that_nothing_is_there(
    server: str, status: int, kind: type[OSError]
) -> None:
    pytest.importorskip("aiohttp")

    for ask in LOOKUPS:
        with pytest.raises(kind) as info:
            ask(f"{server}/{status}/net.mpk")
        assert not isinstance(info.value, FileNotFoundError)


@pytest.mark.parametrize("host", ["localhost:1", "nowhere.invalid"])
def test_a_server_that_is_not_reached_does_not_either(host: str) -> None:
    pytest.importorskip("aiohttp")

    for ask in LOOKUPS:
        with pytest.raises(OSError, match=r"net\.mpk") as info:
            ask(f"https://{host}/net.mpk")
        assert not isinstance(info.value, FileNotFoundError)
