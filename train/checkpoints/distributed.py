"""Checkpoints of several processes that train one model: who writes, and shared parts.

The first process writes, and the others wait; each has a share of what is distributed.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import xxhash
from torch import nn

from ...config.short_text import first_names, quantity
from ...records.errors import RecordMismatchError
from ...records.processes.messages import gathered, n_processes, rank
from ...records.tensors.shares import is_sharded
from .manifest import Manifest


def is_writer(group: Any = None) -> bool:
    """Return whether this process is the only one, or the first of its group."""
    return rank(group) == 0


def check_alike(verb: str, *, parts: Iterable[str] = (), **facts: object) -> None:
    """Raise ValueError on all processes if one has other ``facts`` than the first.

    It does so as well for ``parts`` that the first one, which writes, does not have.
    """
    if n_processes() == 1:
        return
    message = [[*parts], {name: str(fact) for name, fact in facts.items()}]
    rows = map(json.loads, gathered(json.dumps(message).encode()))
    (parts_of_first, of_first), *other_rows = rows
    for number, (parts_of_process, of_process) in enumerate(other_rows, 1):
        lost = [name for name in parts_of_process if name not in parts_of_first]
        if lost:
            raise ValueError(
                f"process {number} {verb} {first_names(lost, 4)}, and process 0, "
                "which writes the parts that all processes have, does not: pass "
                "it on process 0 as well, or save it to a separate file. "
                "Nothing was written"
            )
        for name, fact in of_first.items():
            # A part that only the first process has is saved all the same.
            fact_of_process = of_process.get(name, fact)
            if fact_of_process != fact:
                raise ValueError(
                    f"process {number} {verb} with {name.replace('_', ' ')} "
                    f"{fact_of_process}, and process 0 with {fact}; all processes of "
                    "a run must agree. Nothing was written"
                )


def param_facts(parts: Mapping[str, object]) -> dict[str, str]:
    """Return descriptions of each module's parameters, for `check_alike`.

    The first process writes its own: stages of a pipeline are different modules on
    each, and all but one would be lost. Values are not compared, since copies may
    drift.
    """
    facts: dict[str, str] = {}
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            forms = [
                (path, str(p.dtype), None if nn.parameter.is_lazy(p) else list(p.shape))
                for path, p in part.named_parameters()
            ]
            digest = xxhash.xxh3_64_hexdigest(json.dumps(forms).encode())[:8]
            facts[f"{name} of"] = f"{quantity(len(forms), 'parameter')} ({digest})"
    return facts


def check_same_checkpoint(
    manifest: Manifest | None, folder: str, **facts: object
) -> None:
    """Raise RecordMismatchError on all processes if they restore different checkpoints.

    ``manifest`` is the one that this process has found in ``folder``. It does so as
    well if one process has other ``facts`` than the first.
    """
    if n_processes() == 1:
        return
    words = "no checkpoint" if manifest is None else f"step {manifest.step}"
    message = [
        None if manifest is None else manifest.fingerprint,
        f"{words} in {folder}",
        {name: str(fact) for name, fact in facts.items()},
    ]
    of_first, *of_others = map(json.loads, gathered(json.dumps(message).encode()))
    for number, (fingerprint, words, facts_of_process) in enumerate(of_others, 1):
        if fingerprint != of_first[0]:
            raise RecordMismatchError(
                folder,
                [
                    f"process {number} finds {words}, and process 0 "
                    f"{of_first[1]}, which is different"
                ],
                "Nothing was changed. All processes of a run must restore one "
                "checkpoint: keep it on a disk or storage that all of them can "
                "read, or copy the folder to each; if the run has saved since, "
                "restore again.",
            )
        for name, fact in of_first[2].items():
            if facts_of_process[name] != fact:
                raise ValueError(
                    f"process {number} restores with {name.replace('_', ' ')} "
                    f"{facts_of_process[name]}, "
                    f"and process 0 with {fact}; all processes of a run must agree. "
                    "Nothing was changed"
                )


def has_shares(part: object) -> bool:
    """Return whether any tensor of a part's object is distributed over processes."""
    return any(map(is_sharded, tensors_of(part)))


def tensors_of(part: object) -> "Iterable[Any]":
    """Yield the present tensors of a part's object."""
    if isinstance(part, nn.Module):
        yield from part.parameters()
        yield from part.buffers()
    elif isinstance(part, torch.optim.Optimizer):
        yield from (p for group in part.param_groups for p in group["params"])
    elif isinstance(part, torch.Tensor):
        yield part
    elif isinstance(part, dict):
        for value in part.values():  # pyright: ignore[reportUnknownVariableType]  # items are any value
            yield from tensors_of(value)
