"""Save and load GPT-2 small (124 M parameters), beside torch and safetensors.

Run `python examples/gpt2.py`. Left out: `.mpk.gz` and `.json`, which take minutes at
this size, and double precision. A column says what each way syncs and checks: the peers
do neither by themselves, so each of them stands there once more with both added. Memory
is the peak beyond what the process had, mapped files included; that "to hold" leaves
their pages out, which the system can drop any time.
"""

import gc
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
import xxhash
from measured import (
    Measured,
    Precision,
    allowed_difference,
    largest_difference,
    measure,
    return_freed_memory,
    show,
)
from torch import Tensor, nn

import burnish


@dataclass(frozen=True, slots=True)
class Way:
    """How a module is written and how it comes back."""

    name: str
    precision: Precision
    save: Callable[[nn.Module, Path], object]
    load: Callable[[Path], nn.Module]
    promises: str = "synced, checked"
    """Whether the file is on the disk when a save returns, and whether damage shows."""


def main() -> int:
    """Save, load, print the table; 1 if anything was lost."""
    return_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = gpt2()
    expected = next_tokens(net)
    with tempfile.TemporaryDirectory() as folder:
        # The first way to run would else pay for the imports of all.
        measured(net, TORCH, expected, Path(folder))
        rows = [measured(net, way, expected, Path(folder)) for way in WAYS]
    show(
        "GPT-2 small, 124 M parameters",
        rows,
        score="same\ntokens",
        memory=True,
    )
    print(LEGEND)
    # A random network's likeliest token often wins by less than rounding changes.
    problems = [
        p for row in rows for p in row.problems(least=0.9 if row.allowed else 1)
    ]
    print("\n".join(problems) or f"All {len(rows)} ways kept what they promise.")
    return int(bool(problems))


def gpt2() -> nn.Module:
    """Return GPT-2 small as transformers builds it, with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    net: nn.Module = GPT2LMHeadModel(GPT2Config())
    return net.eval()


@torch.no_grad()
def next_tokens(net: nn.Module) -> Tensor:
    """Return the likeliest token after each of 32 tokens."""
    text = torch.arange(1000, 1032)[None]
    tokens: Tensor = net(text).logits.argmax(-1)
    return tokens


def measured(net: nn.Module, way: Way, expected: Tensor, folder: Path) -> Measured:
    file = folder / f"gpt2{way.name}"
    gc.collect()
    _, saving = measure(lambda: way.save(net, file))
    loaded, loading = measure(lambda: way.load(file))
    row = Measured(
        format=way.name,
        precision=way.precision,
        size=file.stat().st_size,
        save=saving,
        load=loading,
        difference=largest_difference(net, loaded),
        allowed=allowed_difference(net, way.precision),
        score=float((next_tokens(loaded) == expected).float().mean()),
        promises=way.promises,
    )
    for path in folder.iterdir():
        path.unlink()
    return row


def by_burnish(suffix: str, precision: Precision) -> Way:
    return Way(
        suffix,
        precision,
        lambda net, file: burnish.save_record(net, file, precision=precision),
        lambda file: burnish.from_record(gpt2, file),
    )


def through_bytes(precision: Precision) -> Way:
    """Return the way over one bytes object, which a file then holds."""

    def save(net: nn.Module, file: Path) -> None:
        file.write_bytes(burnish.save_record(net, precision=precision))

    def load(file: Path) -> nn.Module:
        return burnish.from_record(gpt2, file.read_bytes())

    return Way("bytes", precision, save, load, "checked")


def save_by_torch(net: nn.Module, file: Path) -> None:
    torch.save(net.state_dict(), file)


def load_by_torch(file: Path) -> nn.Module:
    net = gpt2()
    net.load_state_dict(torch.load(file, weights_only=True))
    return net


def save_by_safetensors(net: nn.Module, file: Path) -> None:
    safetensors.torch.save_model(net, str(file))


def load_by_safetensors(file: Path) -> nn.Module:
    net = gpt2()
    safetensors.torch.load_model(net, file)
    return net


def synced_and_checked(way: Way) -> Way:
    """Return ``way`` with what ours do besides: sync, hash, and compare the hashes."""

    def save(net: nn.Module, file: Path) -> None:
        way.save(net, file)
        sum_file(file).write_bytes(digest_of(file))
        for path in (file, sum_file(file), file.parent):
            sync(path)

    def load(file: Path) -> nn.Module:
        if digest_of(file) != sum_file(file).read_bytes():
            raise ValueError(f"{file} is damaged")
        return way.load(file)

    name = f"{way.name} + fsync + hash"
    return Way(name, way.precision, save, load, "synced, checked")


def sum_file(file: Path) -> Path:
    """Return where the hash of ``file`` lies."""
    return file.with_name(f"{file.name}.xxh3")


def digest_of(file: Path) -> bytes:
    """Return the hash that our files have of each tensor, of a whole file."""
    total, buffer = xxhash.xxh3_64(), memoryview(bytearray(1 << 20))
    with open(file, "rb", buffering=0) as content:
        while n_read := content.readinto(buffer):
            total.update(buffer[:n_read])
    return total.digest()


def sync(path: Path) -> None:
    """Have a file or folder on the disk before this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


LEGEND = """\
synced: the file and its name are on the disk when the save returns
checked: every byte is hashed by the save, and compared with its hash by the load
"""

TORCH = Way("torch.save", None, save_by_torch, load_by_torch, "neither")
SAFETENSORS = Way(
    "safetensors", None, save_by_safetensors, load_by_safetensors, "neither"
)

WAYS = [
    TORCH,
    synced_and_checked(TORCH),
    SAFETENSORS,
    synced_and_checked(SAFETENSORS),
    by_burnish(".mpk", None),
    by_burnish(".mpk", "half"),
    by_burnish(".mpk", "bfloat16"),
    by_burnish(".mpk.zst", None),
    by_burnish(".mpk.zst", "half"),
    by_burnish(".mpk.zst", "bfloat16"),
    by_burnish(".safetensors", None),
    by_burnish(".safetensors", "half"),
    by_burnish(".safetensors", "bfloat16"),
    through_bytes(None),
    through_bytes("half"),
]


if __name__ == "__main__":
    sys.exit(main())
