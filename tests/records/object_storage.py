"""An object storage in memory, which uploads in parts as S3 does, and counts."""

from hashlib import sha256
from importlib import import_module
from typing import Any

fsspec: Any = import_module("fsspec")
spec: Any = import_module("fsspec.spec")


class CountingStorage(spec.AbstractFileSystem):  # type: ignore[misc]  # untyped
    """Objects by path; a write is seen when it is committed."""

    protocol = "counting"
    objects: dict[str, bytes] = {}  # noqa: RUF012  # of all instances
    fetched: list[tuple[int, int]] = []  # noqa: RUF012  # of all instances
    asked: list[str] = []  # noqa: RUF012  # of all instances

    @classmethod
    def put(cls, path: str, data: bytes) -> str:
        """Have ``data`` stand at ``path``, forget what was counted, return the URL."""
        cls.objects[path] = data
        cls.forget()
        return f"counting://{path}"

    @classmethod
    def forget(cls) -> None:
        """Begin to count anew."""
        cls.fetched.clear()
        cls.asked.clear()

    @classmethod
    def n_fetched(cls) -> int:
        """Return how many bytes were fetched."""
        return sum(end - start for start, end in cls.fetched)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        options.pop("cache_options", None)
        return _Object(self, self._strip_protocol(path), mode, **options)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        path = str(self._strip_protocol(path))
        if path not in self.objects:
            raise FileNotFoundError(path)
        data = self.objects[path]
        self.asked.append(path)
        tag = sha256(data).hexdigest()
        return {"name": path, "size": len(data), "type": "file", "ETag": tag}


class _Object(spec.AbstractBufferedFile):  # type: ignore[misc]  # untyped
    def _initiate_upload(self) -> None:
        self.parts = b""

    def _upload_chunk(self, final: bool = False) -> bool:
        self.parts += self.uploadable()
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        self.fs.objects[self.path] = self.parts

    def discard(self) -> None:
        self.parts = b""
        self.buffer = None

    def uploadable(self) -> bytes:
        buffer: Any = self.buffer
        data: bytes = buffer.getvalue()
        return data

    def _fetch_range(self, start: int, end: int) -> bytes:
        self.fs.fetched.append((start, end))
        return bytes(self.fs.objects[self.path][start:end])


fsspec.register_implementation("counting", CountingStorage, clobber=True)
