"""Records in a storage that speaks S3: what is asked, and what stands there."""

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.records import Record, RecordFormatError
from burnish.records.flat_record import FlatRecord
from burnish.records.io.remote.upload import PART

from ...s3_server import S3Server, s3_server

MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Generator[S3Server]:
    with pytest.MonkeyPatch.context() as monkeypatch, s3_server(monkeypatch) as server:
        yield server


@pytest.fixture(autouse=True)
def forget(server: S3Server) -> None:
    server.forget()


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(*(nn.Linear(256, 256) for _ in range(24)))


def large(value: float) -> FlatRecord:
    return Record.from_state_dict({"a": torch.full((5 * MIB,), value)})


def test_a_record_is_one_put_and_a_load_a_handful_of_gets(server: S3Server) -> None:
    module, target = net(), net(1)
    url = "s3://burnish/net.mpk"

    burnish.save_record(module, url)
    saved = server.calls
    server.forget()
    burnish.load_record(target, url)

    assert saved == ["put_object"]
    assert sorted(server.calls) == ["get_object"] * 3 + ["head_object"] * 2
    assert all(
        torch.equal(a, b)
        for a, b in zip(module.parameters(), target.parameters(), strict=True)
    )


def test_a_tensor_is_one_request_of_its_bytes(server: S3Server) -> None:
    module, url = net(), "s3://burnish/net.mpk"
    burnish.save_record(module, url)
    record = burnish.open_record(url)
    server.forget()

    bias = record["5.bias"]

    assert bias.shape == (256,)
    ((name, extent),) = server.requests
    first, _, last = extent.removeprefix("bytes=").partition("-")
    assert name == "get_object"
    assert int(last) - int(first) + 1 == bias.nbytes


def test_a_long_record_is_sent_in_parts_and_seen_when_it_is_complete(
    server: S3Server,
) -> None:
    url = "s3://burnish/long.mpk"

    large(1.0).save(url)

    assert server.calls == [
        "create_multipart_upload",
        *["upload_part"] * (20 * MIB // PART + 1),
        "complete_multipart_upload",
    ]
    assert server.storage.cat_file("burnish/long.mpk") == large(1.0).save()


def test_a_save_that_fails_leaves_the_old_object_and_no_parts(
    server: S3Server,
) -> None:
    url = "s3://burnish/failing.mpk"
    large(1.0).save(url)

    def fail(done: int, total: int, path: str) -> None:
        if done == total:
            raise ValueError("at the end")

    with pytest.raises(ValueError, match="at the end"):
        large(2.0).save(url, progress=fail)

    assert server.storage.cat_file("burnish/failing.mpk") == large(1.0).save()
    assert server.calls.count("abort_multipart_upload") == 1
    uploads: Any = server.storage.call_s3("list_multipart_uploads", Bucket="burnish")
    assert not uploads.get("Uploads")


def test_an_object_that_was_replaced_is_noticed(server: S3Server) -> None:
    url = "s3://burnish/replaced.mpk"
    burnish.save_record(net(), url)
    record = burnish.open_record(url)
    burnish.save_record(net(1), url)

    with pytest.raises(RecordFormatError, match="it was replaced"):
        _ = record["3.weight"]


def test_neither_reading_nor_writing_lists_anything(server: S3Server) -> None:
    url = "s3://burnish/unlisted/net.mpk"

    burnish.save_record(net(), url)
    burnish.load_record(net(1), url)
    burnish.verify_file(url)

    assert not [call for call in server.calls if "list" in call]


def test_what_is_not_there_is_an_error_of_the_system_with_the_url() -> None:
    with pytest.raises(FileNotFoundError, match=r"burnish/none\.mpk"):
        burnish.open_record("s3://burnish/none.mpk")
    with pytest.raises(OSError, match=r"nowhere-at-all/net\.mpk"):
        burnish.save_record(nn.Linear(2, 2), "s3://nowhere-at-all/net.mpk")


class _Failing(BaseHTTPRequestHandler):
    """Says that the service is unavailable, or closes the connection."""

    protocol_version = "HTTP/1.1"
    resets = False

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.resets:
            self.close_connection = True
            return
        self.send_response(503)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # their names

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize("resets", [False, True])
def test_a_storage_that_fails_is_the_error_of_a_save_and_of_a_read(
    resets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3fs: Any = pytest.importorskip("s3fs")
    fsspec: Any = pytest.importorskip("fsspec")
    monkeypatch.setattr(_Failing, "resets", resets)
    # It asks five times by itself, for about ten seconds.
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    failing = ThreadingHTTPServer(("127.0.0.1", 0), _Failing)
    threading.Thread(target=failing.serve_forever, args=(0.01,), daemon=True).start()
    options = {
        "endpoint_url": f"http://127.0.0.1:{failing.server_port}",
        "key": "test",
        "secret": "test",
        "client_kwargs": {"region_name": "us-east-1"},
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    net = nn.Linear(2, 2)

    with pytest.raises(OSError, match="what was saved there before is unchanged"):
        burnish.save_record(net, "s3://burnish/net.mpk")
    with pytest.raises(OSError, match=r"s3://burnish/net\.mpk"):
        burnish.open_record("s3://burnish/net.mpk")
    with pytest.raises(OSError, match="s3://burnish/run"):
        burnish.Checkpoints("s3://burnish/run").save(1, net=net)

    failing.shutdown()
    failing.server_close()
