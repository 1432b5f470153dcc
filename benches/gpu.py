"""Do saves off a GPU, loads to it and steps on it keep up with torch and safetensors?

By the clock on the wall, each run until the device has nothing left to do. Run by
`make gpu`, and by `make bench` where there is a device.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from harness import Row, Samples, Unmeasured, no_fsync, race, scratch
from models import gpt2
from optim_race import Made
from optim_sets import SETS, Parameters, UserAdamW
from peers import load_safetensors, save_safetensors, save_torch
from save import remove, untied
from torch import Tensor, nn

import burnish
from burnish.optim import AdamW

Times: TypeAlias = dict[str, Samples]

PAIRS = 9
_STEPS = 20
"""Steps that are timed together: a device begins the next before one has ended."""


def run() -> list[Row]:
    check_device()
    net = gpt2().cuda()
    with scratch() as folder, no_fsync():
        return [
            *save_rows(folder, net),
            *load_rows(folder, net),
            *(row for name in SETS for row in step_rows(name)),
        ]


def check_device() -> None:
    """Raise `Unmeasured` where there is no GPU that torch can use."""
    if torch.version.cuda is None:
        raise Unmeasured(f"torch {torch.__version__} was built without CUDA")
    if not torch.cuda.is_available():
        raise Unmeasured("torch finds no GPU on this machine")


def save_rows(folder: str, net: nn.Module) -> list[Row]:
    mine, theirs = f"{folder}/net.mpk", f"{folder}/peer"

    def save(precision: Literal["half"] | None = None) -> None:
        burnish.save_record(net, mine, precision=precision)

    def in_half() -> dict[str, Tensor]:
        return {path: tensor.half() for path, tensor in untied(net).items()}

    def begin() -> None:
        handles.append(burnish.save_record(net, mine, wait=False))

    def settle() -> None:
        while handles:
            handles.pop().wait()
        remove(mine, theirs)

    handles: list[burnish.SaveHandle[Path]] = []
    full = timed(
        {
            "ours": save,
            "safetensors": lambda: save_safetensors(untied(net), theirs),
            "torch": lambda: save_torch(untied(net), theirs),
            "blocked": begin,
        },
        settle,
    )
    half = timed(
        {
            "ours": lambda: save("half"),
            "safetensors": lambda: save_safetensors(in_half(), theirs),
        },
        settle,
    )
    return [
        against("save full / safetensors", full, "ours", "safetensors"),
        against("save full / torch.save", full, "ours", "torch"),
        against("save half / .half() and safetensors", half, "ours", "safetensors"),
        against("wait=False, blocked / waiting", full, "blocked", "ours"),
    ]


def load_rows(folder: str, net: nn.Module) -> list[Row]:
    mine, theirs = f"{folder}/net.mpk", f"{folder}/peer"
    burnish.save_record(net, mine)
    save_safetensors(untied(net), theirs)

    def fill_by_peer() -> None:
        net.load_state_dict(load_safetensors(theirs, device="cuda"), strict=False)

    def read() -> dict[str, Tensor]:
        with burnish.open_record(mine, device="cuda") as record:
            return record.to_state_dict()

    filled = timed(
        {"ours": lambda: burnish.load_record(net, mine), "safetensors": fill_by_peer}
    )
    tensors = timed(
        {
            "ours": read,
            "safetensors": lambda: load_safetensors(theirs, device="cuda"),
        }
    )
    return [
        against("load_record / load_state_dict", filled, "ours", "safetensors"),
        against("all tensors, verified / load_file", tensors, "ours", "safetensors"),
    ]


def step_rows(name: str) -> list[Row]:
    """Return ours and a user's AdamW beside torch's fused one, on a set."""

    def stepper(make: Made) -> Callable[[], None]:
        step = make(Parameters(SETS[name]()).cuda()).step
        step()

        def run_steps() -> None:
            for _ in range(_STEPS):
                step()

        return run_steps

    times = timed(
        {
            "AdamW": stepper(lambda net: AdamW().bind(net, lr=1e-3)),
            "a user's AdamW": stepper(lambda net: UserAdamW().bind(net, lr=1e-3)),
            "torch": stepper(
                lambda net: torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
            ),
        }
    )
    return [
        against(f"{ours} / torch fused, {_STEPS} steps", times, ours, "torch", name)
        for ours in ("AdamW", "a user's AdamW")
    ]


def timed(
    runners: dict[str, Callable[[], object]],
    before: Callable[[], object] = lambda: None,
) -> Times:
    """Return the times of ``runners``, each until the device is done."""

    def settled() -> None:
        before()
        torch.cuda.synchronize()

    def until_done(run: Callable[[], object]) -> Callable[[], object]:
        def run_all() -> object:
            result = run()
            torch.cuda.synchronize()
            return result

        return run_all

    waiting = {name: until_done(run) for name, run in runners.items()}
    return race(waiting, pairs=PAIRS, before=settled)


def against(
    question: str, times: Times, ours: str, peer: str, case: str = "GPT-2"
) -> Row:
    return Row.timed(question, case, times[ours], times[peer], by="wall")
