"""What every test may rely on."""

import gc
import logging
import signal
from collections.abc import Generator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Tests measure no time: on a busy machine one example takes as long as it takes.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Generator[None]:
    """Let Ctrl-C be raised, which a shell has its background programs ignore."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ between processes, and skip what needs a GPU."""
    # Tests run in several processes, each of which has to collect the same names.
    addressed = next((item.nodeid for item in items if " at 0x" in item.nodeid), None)
    if addressed is not None:
        raise pytest.UsageError(f"{addressed}: the name of a test has an address in it")
    on_gpu = [item for item in items if item.get_closest_marker("cuda")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        reason = f"torch {torch.__version__} finds no GPU on this machine"
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def quick_collections(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Have `gc.collect` look at what the test makes, not at all that was there before.

    That is a million objects of imported modules, half a second each time.
    """
    # The library notes for good that a program freezes objects; here a test does.
    monkeypatch.setattr("burnish.config.process.gc_pause._program_freezes", set())
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def formats_as_before() -> Generator[None]:
    """Take away the formats that a test registers, but for those that are ours."""
    from burnish.records.format import _formats  # pyright: ignore[reportPrivateUsage]  # put back below
    from burnish.records.format_names import BUILT_IN, registered_suffixes

    registries: tuple[Any, ...] = (_formats, registered_suffixes)
    names = [{*registry, *BUILT_IN} for registry in registries]
    yield
    for registry, known in zip(registries, names, strict=True):
        registry.entries = {n: v for n, v in registry.entries.items() if n in known}


@pytest.fixture
def empty_storage() -> Generator[None]:
    """Have the storage ``counting://`` hold nothing, before the test and after it."""
    storage = import_module("tests.records.object_storage").CountingStorage
    storage.clear()
    yield
    storage.clear()


@pytest.fixture
def disk_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a URL in a storage whose objects all processes of a test see."""
    fsspec: Any = pytest.importorskip("fsspec")
    storage = import_module("tests.records.object_storage").disk_storage
    monkeypatch.setitem(fsspec.config.conf, "disk", storage(str(tmp_path / "disk")))
    return "disk://runs/run"


@pytest.fixture
def quiet_lightning() -> Generator[None]:
    import torch

    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)
    torch.set_float32_matmul_precision("highest")


def pytest_configure(config: pytest.Config) -> None:
    """Let tests read torch's own files with a torch that the library warns of.

    What the warning says, and when, has a test of its own.
    """
    torch_version = tuple(map(int, version("torch").split(".")[:2]))
    if torch_version < (2, 10):
        config.addinivalue_line(
            "filterwarnings", "ignore:torch .* is vulnerable to hostile files"
        )
