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

    calls: list[str] = []  # noqa: RUF012  # of all instances
    """What was asked for, and of which path."""
    refused: set[str] = set()  # noqa: RUF012  # of all instances
    """Calls that are not permitted."""
    answers: list[bool] = []  # noqa: RUF012  # of all instances
    """Whether each of the next calls is answered; later ones are."""

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
        cls.calls.clear()

    @classmethod
    def clear(cls) -> None:
        """Remove all objects, permit every call, and begin to count anew."""
        cls.objects.clear()
        cls.refused.clear()
        cls.answers.clear()
        cls.forget()

    @classmethod
    def n_fetched(cls) -> int:
        """Return how many bytes were fetched."""
        return sum(end - start for start, end in cls.fetched)

    def _count(self, call: str, path: str) -> str:
        path = str(self._strip_protocol(path))
        self.calls.append(f"{call} {path}")
        if self.answers and not self.answers.pop(0):
            raise ConnectionError("the storage does not answer")
        if call in self.refused:
            raise PermissionError(f"{call} is forbidden")
        return path

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        start = self._count("ls", path) + "/"
        names = [name for name in self.objects if name.startswith(start)]
        if not names:
            raise FileNotFoundError(path)
        rows = [self.info(name) for name in names if "/" not in name[len(start) :]]
        folders = {name[len(start) :].split("/")[0] for name in names if "/" in name}
        rows += [
            {"name": start + name, "size": 0, "type": "directory"}
            for name in sorted(folders)
            if start + name not in names
        ]
        return rows if detail else [row["name"] for row in rows]

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        path = self._count("get", path)
        if path not in self.objects:
            raise FileNotFoundError(path)
        data = self.objects[path][start:end]
        self.fetched.append((start or 0, (start or 0) + len(data)))
        return data

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        self.objects[self._count("put", path)] = value

    def rm_file(self, path: str) -> None:
        path = self._count("delete", path)
        if path not in self.objects:
            raise FileNotFoundError(path)
        del self.objects[path]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        options.pop("cache_options", None)
        return _Object(self, self._strip_protocol(path), mode, **options)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        path = self._count("head", path)
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


def disk_storage(folder: str) -> Any:
    """Return the options of ``disk://``, a storage that several processes see."""
    local: Any = import_module("fsspec.implementations.local")
    return {"path": folder, "fs": local.LocalFileSystem(auto_mkdir=True)}


dirfs: Any = import_module("fsspec.implementations.dirfs")


class DiskStorage(dirfs.DirFileSystem):  # type: ignore[misc]  # untyped
    """Files below one folder, behind URLs."""

    protocol = "disk"


fsspec.register_implementation("disk", DiskStorage, clobber=True)
