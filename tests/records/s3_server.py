"""A server of this machine that speaks S3, and what is asked of it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest


class S3Server:
    """A bucket, and the requests that s3fs has made since `forget`."""

    def __init__(self, storage: Any, requests: list[tuple[str, str]]) -> None:
        self.storage, self._requests = storage, requests

    @property
    def requests(self) -> list[tuple[str, str]]:
        """The name of each call, and its range."""
        return list(self._requests)

    @property
    def calls(self) -> list[str]:
        """The name of each call."""
        return [name for name, _ in self._requests]

    def forget(self) -> None:
        """Begin to count anew."""
        self._requests.clear()


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Generator[S3Server]:
    """Start the server with a bucket ``burnish``; ``s3://`` leads there meanwhile."""
    s3fs: Any = pytest.importorskip("s3fs", reason="s3fs is not installed")
    moto: Any = pytest.importorskip("moto.server", reason="moto is not installed")
    fsspec: Any = pytest.importorskip("fsspec")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "endpoint_url": f"http://{host}:{port}",
        "key": "test",
        "secret": "test",
        "client_kwargs": {"region_name": "us-east-1"},
    }
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    storage = s3fs.S3FileSystem(**options)
    storage.call_s3("create_bucket", Bucket="burnish")
    requests: list[tuple[str, str]] = []
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        extra = {key: value for arg in args for key, value in arg.items()}
        requests.append((method, str({**extra, **kwargs}.get("Range", ""))))
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    # What was bound before it was counted.
    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", s3fs.core.sync_wrapper(counted))
    try:
        yield S3Server(storage, requests)
    finally:
        storage.clear_instance_cache()
        server.stop()
