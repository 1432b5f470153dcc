# pyright: reportPrivateUsage=false
# Nn.Module's tables and the identity of a storage have no public names.
"""`make models`: models of other libraries, saved and rebuilt in every format.

    python -m tests.campaigns.models [--only PART_OF_NAME] [--skip K] [--n N] [--dry]

They are compared bit for bit, and so is which tensors share memory. Each architecture
runs in a process of its own, so that a crash or a hang is told by name. Fresh memory
is filled with NaN, so that nothing unfilled passes for a number.
"""

import argparse
import collections
import itertools
import multiprocessing
import os
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import nn

import burnish

from .architectures import (
    Architecture,
    timm_architectures,
    torchvision_architectures,
    transformers_architectures,
)
from .reliability import write_section

FORMATS = ("mpk", "mpk.zst", "json", "safetensors")
MAX_VALUES = 60_000_000
"""Larger models are left out: memory and time are better spent on other classes."""
MAX_JSON_VALUES = 1_000_000


def check(build: Callable[[], nn.Module], folder: Path) -> str:
    """Return "equal", a reason to leave the model out, or what differs."""
    torch.manual_seed(1)
    try:
        model = build()
    except Exception as error:
        return f"left out: does not build: {type(error).__name__}"
    n_values = sum(p.numel() for p in model.parameters())
    if n_values > MAX_VALUES:
        return "left out: too large"
    problems: list[str] = []
    expected = snapshot(model)
    for suffix in FORMATS:
        if suffix == "json" and n_values > MAX_JSON_VALUES:
            continue
        file = folder / f"model.{suffix}"
        try:
            burnish.save_record(model, file)
        except burnish.records.RecordError as error:
            problems.append(f"{suffix}: not saved: {error}")
            continue
        torch.manual_seed(2)
        rebuilt = burnish.from_record(build, file)
        transient = suffix == "safetensors"
        problems += [
            f"{suffix}, from_record: {p}"
            for p in differences(expected, snapshot(rebuilt), transient)
        ]
        torch.manual_seed(3)
        filled = build()
        burnish.load_record(filled, file)
        problems += [
            f"{suffix}, load_record: {p}"
            for p in differences(expected, snapshot(filled), transient)
        ]
        file.unlink()
    return "; ".join(problems) or "equal"


Snapshot = dict[str, tuple[str, torch.Tensor, int]]
"""By path: kind, values, and a number that tensors of one memory share."""


def snapshot(model: nn.Module) -> Snapshot:
    """Return a copy of every tensor that the model's modules hold."""
    owners: dict[int, int] = {}
    result: Snapshot = {}
    for prefix, owner in model.named_modules(remove_duplicate=False):
        transient = owner._non_persistent_buffers_set
        groups = (
            ("parameter", owner._parameters),
            ("buffer", owner._buffers),
            ("attribute", vars(owner)),
        )
        for kind, group in groups:
            for name, tensor in list(group.items()):
                if not isinstance(tensor, torch.Tensor):
                    continue
                path = f"{prefix}.{name}" if prefix else name
                storage = tensor.untyped_storage()._cdata
                number = owners.setdefault(storage, len(owners))
                word = "transient" if name in transient else kind
                result[path] = (word, tensor.detach().clone(), number)
    return result


def differences(expected: Snapshot, found: Snapshot, no_transient: bool) -> list[str]:
    """Return where two models differ in names, values or sharing.

    ``no_transient``: the format stores no non-persistent buffers, so only what a
    constructor computes can be compared: its shape, and that it is filled.
    """
    if expected.keys() != found.keys():
        return [f"other names: {sorted(expected.keys() ^ found.keys())[:5]}"]
    problems: list[str] = []
    for path, (kind, values, _) in expected.items():
        other_kind, other, _ = found[path]
        if kind != other_kind or values.dtype != other.dtype:
            problems.append(f"{path}: another kind or dtype")
        elif not same_bits(values, other):
            drawn = kind == "attribute" or (kind == "transient" and no_transient)
            if not drawn or is_unfilled(values, other):
                problems.append(f"{path}: other values")
    numbers = [n for _, _, n in expected.values()]
    others = [n for _, _, n in found.values()]
    if len(set(numbers)) != len(set(others)) or len(
        set(zip(numbers, others, strict=True))
    ) != len(set(numbers)):
        problems.append("memory is shared otherwise")
    return problems


def is_unfilled(expected: torch.Tensor, found: torch.Tensor) -> bool:
    """Return whether poison shows where ordinary construction has numbers."""
    if expected.shape != found.shape or not found.is_floating_point():
        return expected.shape != found.shape
    return bool((found.isnan() & ~expected.isnan()).any())


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Return whether two tensors have the same shape and bytes."""
    if a.shape != b.shape:
        return False
    if not a.numel():
        return True
    return torch.equal(
        a.contiguous().reshape(-1).view(torch.uint8),
        b.contiguous().reshape(-1).view(torch.uint8),
    )


def run(
    architectures: Iterable[Architecture], *, seconds: float = 120.0
) -> dict[str, str]:
    """Check each architecture in a process of its own; return outcomes by name."""
    outcomes: dict[str, str] = {}
    context = multiprocessing.get_context("fork")
    for architecture in architectures:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(architecture, sender))
        process.start()
        sender.close()
        if receiver.poll(seconds):
            try:
                outcome = receiver.recv()
            except EOFError:
                process.join()
                outcome = f"the process ended with {process.exitcode}"
        else:
            outcome = f"no answer in {seconds:.0f} s"
            process.kill()
        process.join()
        outcomes[architecture.name] = outcome
    return outcomes


def _child(architecture: Architecture, sender: Connection) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    torch.use_deterministic_algorithms(True, warn_only=True)
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcome = check(architecture.build, Path(folder))
        except Exception:
            outcome = "failed: " + traceback.format_exc(limit=-4)
    sender.send(outcome)


def main() -> int:
    """Run what the command line asks for; 1 if a model came back another one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--dry", action="store_true", help="write no page")
    arguments = parser.parse_args()
    architectures = itertools.chain(
        transformers_architectures(), torchvision_architectures(), timm_architectures()
    )
    chosen = [a for a in architectures if arguments.only in a.name]
    chosen = chosen[arguments.skip : arguments.skip + arguments.n]
    began = time.monotonic()
    counts: dict[str, collections.Counter[str]] = {}
    for architecture in chosen:
        outcome = run([architecture])[architecture.name]
        library = architecture.name.partition(".")[0]
        counts.setdefault(library, collections.Counter())[_kind(outcome)] += 1
        if outcome != "equal":
            print(f"{architecture.name}: {outcome}", flush=True)
    text = _section(counts, time.monotonic() - began)
    print(text)
    if not arguments.dry:
        write_section("models", text)
    return int(any(count["differs"] for count in counts.values()))


def _kind(outcome: str) -> str:
    """Return under which heading of the table an outcome counts."""
    if outcome != "equal" and not outcome.startswith("left out"):
        return "differs"
    reason = "left out: does not build"
    return reason if outcome.startswith(reason) else outcome


def _section(counts: dict[str, collections.Counter[str]], seconds: float) -> str:
    kinds = ("equal", "differs", "left out: does not build", "left out: too large")
    head = " | ".join(kinds)
    rows = [
        f"| {library} | {' | '.join(str(count[kind]) for kind in kinds)} |"
        for library, count in counts.items()
    ]
    return "\n".join(
        [
            "## Models of other libraries (`make models`)",
            "",
            "Each architecture is built small, saved, and rebuilt with `from_record` "
            "and `load_record`,",
            f"in {', '.join(FORMATS)}, with memory poisoned by NaN; every tensor and "
            "which share memory are compared.",
            "What does not build needs other sizes, a network or other packages.",
            f"{seconds:,.0f} s, torch {torch.__version__}.",
            "",
            f"| library | {head} |",
            "|---" * (len(kinds) + 1) + "|",
            *rows,
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
