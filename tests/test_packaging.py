"""What is published is the library, whole, and nothing else."""

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ["config", "records", "core", "optim", "train", "cli"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the source distribution unpacks to."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, folder)) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


def test_the_wheel_holds_every_file_of_the_library_and_no_other(wheel: Path) -> None:
    expected = {
        f"burnish/{file.relative_to(ROOT)}"
        for layer in LAYERS
        for suffix in ("py", "css", "js")
        for file in (ROOT / layer).rglob(f"*.{suffix}")
    }
    expected |= {f"burnish/{name}" for name in ("__init__.py", "__main__.py")}
    expected.add("burnish/py.typed")

    held = {name for name in names(wheel) if ".dist-info/" not in name}

    assert held == expected


def test_the_wheel_carries_both_licences_and_the_command(wheel: Path) -> None:
    held = {name.partition(".dist-info/")[2] for name in names(wheel)}

    assert {"licenses/LICENSE-APACHE", "licenses/LICENSE-MIT"} <= held
    assert "burnish = burnish.__main__:main" in read(wheel, "entry_points.txt")


def test_the_source_distribution_builds_the_same_wheel(
    sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    rebuilt = build("wheel", sdist, tmp_path)

    assert names(rebuilt) == names(wheel)
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(rebuilt) as theirs:
        for name in ours.namelist():
            assert theirs.read(name) == ours.read(name), name


def test_the_source_distribution_carries_what_a_reader_needs(sdist: Path) -> None:
    for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "docs/format.md"):
        assert (sdist / name).read_text() == (ROOT / name).read_text()


def test_the_metadata_says_whom_it_is_for(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    classifiers = metadata.get_all("Classifier") or []

    assert "Typing :: Typed" in classifiers
    assert "Operating System :: POSIX" in classifiers
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_the_core_asks_for_torch_and_small_packages_only(wheel: Path) -> None:
    asked = metadata_of(wheel).get_all("Requires-Dist") or []

    core = {line.split(">")[0] for line in asked if "extra ==" not in line}

    assert core == {
        "torch", "numpy", "msgpack", "zstandard", "xxhash", "orjson", "pydantic", "rich"
    }  # fmt: skip


def build(kind: str, source: Path, folder: Path) -> Path:
    """Return the one file that a build of ``source`` leaves in ``folder``."""
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        kind,
        "-d",
        str(folder),
    ]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = (path for path in folder.iterdir() if path.is_file())
    return file


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def read(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (n for n in archive.namelist() if n.endswith(f".dist-info/{name}"))
        return archive.read(path).decode()


def metadata_of(wheel: Path) -> Message:
    return message_from_bytes(read(wheel, "METADATA").encode())
