"""``burnish doctor``: what is installed, and whether it works."""

import importlib.metadata
import platform
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from .json_output import print_json
from .terminal import console, print_line
from .words import add_json, parser

ABOUT = "print versions, optional packages, engines, the compiler, and run a self-test"

_EXAMPLES = """
burnish doctor
burnish doctor --json > report.json     # for a bug report
"""

NEEDED = (
    "torch",
    "numpy",
    "msgpack",
    "zstandard",
    "xxhash",
    "orjson",
    "pydantic",
    "rich",
)
"""The packages that the library cannot work without."""

PACKAGES = {
    **dict.fromkeys(NEEDED, ""),
    "ruamel.yaml": "yaml",
    "lightning": "train",
    "hydra-core": "train",
    "omegaconf": "train",
    "matplotlib": "plot",
    "huggingface_hub": "hub",
    "wandb": "wandb",
    "fsspec": "",
    "safetensors": "",
    "transformers": "",
}
"""Optional packages, and the extra of this package that installs each."""


def main(argv: Sequence[str]) -> int:
    """Print the report; return 0 if all required packages work, else 1."""
    options = _parser().parse_args(argv)
    packages, facts = package_versions(), torch_facts()
    tests = [test(name, act) for name, act in _TESTS.items()]
    if options.json:
        print_json("doctor", {"versions": packages, "torch": facts, "tests": tests})
    else:
        _print(packages, facts, tests)
    is_whole = all(packages.get(name) for name in NEEDED)
    return 0 if is_whole and all(result["works"] for result in tests) else 1


def _parser() -> ArgumentParser:
    words = parser("doctor", ABOUT, _EXAMPLES)
    add_json(words)
    return words


def package_versions() -> dict[str, str | None]:
    """Return the version of each package by name; None if it is not installed."""
    from .. import __version__  # pyright: ignore[reportMissingImports, reportUnknownVariableType]  # of src/burnish, where this folder is linked

    packages: dict[str, str | None] = {
        "burnish": __version__,
        "python": platform.python_version(),
    }
    for name in PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = None
    return packages


def torch_facts() -> dict[str, object]:
    """Return the devices that torch can compute on."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name(0) if cuda else None,
    }


def test(name: str, act: Callable[[], str]) -> dict[str, object]:
    """Return whether ``act`` works, the text it returns, and how long it took."""
    begun = time.monotonic()
    try:
        answer, works = act(), True
    except Exception as error:  # whatever fails is the finding
        answer, works = f"{type(error).__name__}: {error}", False
    seconds = round(time.monotonic() - begun, 3)
    return {"test": name, "works": works, "says": answer, "seconds": seconds}


def _load() -> str:
    """Import what the other tests need, so that their times do not include it."""
    import torch

    for name in _NEEDED_BY_TESTS:
        import_module(f"..{name}", __package__)
    # Torch imports its compiler with the first optimizer that is constructed.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    return "with torch's compiler"


_NEEDED_BY_TESTS = (
    "core.persistence.loading",
    "core.persistence.saving",
    "optim.adamw",
    "records.formats.json",
    "records.formats.messagepack",
    "records.formats.safetensors",
    "records.formats.zstd_messagepack",
)


def _save_and_load() -> str:
    import torch
    from torch import nn

    from ..core.persistence.loading import load_record
    from ..core.persistence.saving import save_record

    net, loaded = nn.Linear(64, 64), nn.Linear(64, 64)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".mpk", ".mpk.zst", ".json", ".safetensors"):
            save_record(net, Path(folder) / f"net{suffix}")
            load_record(loaded, Path(folder) / f"net{suffix}")
            if not torch.equal(net.weight, loaded.weight):
                raise ValueError(f"{suffix} returned different values")
    return "mpk, mpk.zst, json, safetensors"


def _engines(fused: bool | None) -> str:
    import torch
    from torch import nn

    from ..optim.adamw import AdamW
    from ..optim.adaptor import engine_report

    net = nn.Linear(32, 32)
    optim = AdamW().bind(net, lr=0.1, fused=fused)
    net(torch.ones(1, 32)).sum().backward()
    optim.step()
    return str(engine_report(optim)).strip().splitlines()[0]


_TESTS: dict[str, Callable[[], str]] = {
    "the parts that are tested are imported": _load,
    "records are written and read": _save_and_load,
    "a step by default": lambda: _engines(None),
    "a step that is compiled (fused=True)": lambda: _engines(True),
    "a step by the plain loop (fused=False)": lambda: _engines(False),
}


def _print(
    packages: Mapping[str, str | None],
    facts: Mapping[str, object],
    tests: Sequence[Mapping[str, object]],
) -> None:
    output = console()
    for name, version in packages.items():
        extra = PACKAGES.get(name, "")
        cure = f" (pip install 'burnish[{extra}]')" if extra else ""
        missing = "MISSING" if name in NEEDED else f"not installed{cure}"
        print_line(output, f"  {name:<16} {version or missing}")
    for name, fact in facts.items():
        print_line(output, f"  {name:<16} {'none' if fact is None else fact}")
    for result in tests:
        verdict = "works" if result["works"] else "FAILS"
        text = f"{result['test']}: {verdict}, {result['says']} ({result['seconds']} s)"
        print_line(output, f"  {text}")
