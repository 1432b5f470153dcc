"""Generated C of many programs in one unit, so that a compiler runs once for all."""

import ctypes
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from burnish.optim.engines import blocks, compiled
from burnish.optim.engines.codegen import c_code, compiler
from burnish.optim.engines.memory import arena

SMALL_BLOCK = 64
"""Elements of a block, where tensors of a test are to have many."""

_NAMES = [
    "run",
    "addresses",
    "range",
    "block",
    "steal",
    "work",
    "BLOCK",
    "THREADS",
    "from_bfloat16",
    "to_bfloat16",
    "from_float16",
    "to_float16",
    "stream_of",
    "random_bits",
    "truncated",
    "rounded_bfloat16",
    "rounded_float16",
]


def unit(sources: list[str]) -> str:
    """Return one C unit; the function of source ``k`` is ``run_k``."""
    parts: list[str] = []
    for k, source in enumerate(sources):
        parts += [f"#define {name} {name}_{k}\n" for name in _NAMES]
        parts += [source, *(f"#undef {name}\n" for name in _NAMES)]
    return "".join(parts)


class Collected(compiler.CompileError):
    """Raised in place of compiling a program, whose source was noted."""

    def __init__(self) -> None:
        super().__init__("its source was collected")


@contextmanager
def collecting() -> Generator[dict[str, None]]:
    """Give the sources that would be compiled, in order; none is."""
    sources: dict[str, None] = {}

    def load(source: str) -> object:
        sources[source] = None
        raise Collected

    with (
        mock.patch.object(compiled, "load_library", load),
        mock.patch.object(compiled, "_programs", {}),
        mock.patch.object(compiled, "_warned", {str(Collected())}),
    ):
        yield sources


@contextmanager
def compiled_together(sources: list[str]) -> Generator[None]:
    """Let steps of these sources run in one library, which is compiled first."""
    with tempfile.TemporaryDirectory() as folder:
        text, library = Path(folder) / "unit.c", Path(folder) / "unit.so"
        text.write_text(unit(sources))
        command = ["cc", *compiler.FLAGS, str(text), "-o", str(library), "-lm"]
        subprocess.run(command, check=True, capture_output=True)
        programs = ctypes.CDLL(str(library))
    places = {source: k for k, source in enumerate(sources)}
    usual = compiler.load_library

    def load(source: str) -> object:
        k = places.get(source)
        if k is None:
            return usual(source)
        own = {name: programs[f"{name}_{k}"] for name in ("run", "addresses")}
        return SimpleNamespace(**own)

    with (
        mock.patch.object(compiled, "load_library", load),
        mock.patch.object(compiled, "_programs", {}),
    ):
        yield


@contextmanager
def small_blocks() -> Generator[None]:
    """Let small tensors be cut into blocks and shared out to threads."""
    size = f"BLOCK = {SMALL_BLOCK},"
    whole: str = vars(c_code)["_FRAME"]
    frame = whole.replace("BLOCK = 1 << 18,", size)
    if size not in frame:
        raise AssertionError("the generated C no longer says how large a block is")
    with (
        mock.patch.object(c_code, "_FRAME", frame),
        mock.patch.object(compiled, "_PARALLEL", 0),
        mock.patch.object(blocks, "BLOCK", SMALL_BLOCK),
        mock.patch.object(blocks, "SMALL", SMALL_BLOCK // 2),
        mock.patch.object(arena, "BLOCK", SMALL_BLOCK),
        mock.patch.object(arena, "SMALL", SMALL_BLOCK // 2),
    ):
        yield
