"""Block replay: recorded operations with ``out=``, over blocks that stay in cache."""

import math
from collections.abc import Callable
from typing import Any

import torch

from ..tracing.stochastic_rounding import round_into
from .program import Arg, StepProgram, slots

Run = Callable[..., None]
"""Called as ``run(tensor, grad, *state, registers, c, k)``; writes tensor and state.

``k`` are the random bits for stochastic rounding; they are overwritten.
"""


def generate(program: StepProgram) -> tuple[Run, list[torch.dtype]]:
    """Return the program as a function of flat tensors, and its registers' dtypes."""
    writer = _Writer(program)
    for i, (name, args) in program.ops.items():
        writer.operation(i, name, args)
    source = writer.source()
    scope: dict[str, Any] = {"torch": torch, "inf": math.inf, "nan": math.nan}
    scope["round_into"] = round_into
    exec(compile(source, "<step replayed in blocks>", "exec"), scope)
    return scope["run"], writer.registers


class _Writer:
    """Writes one line per operation; registers of dead values are reused."""

    def __init__(self, program: StepProgram) -> None:
        self.program = program
        self.last = program.last_uses()
        self.at = {i: f"b{i}" for i in range(program.n_inputs)}
        self.home = dict(zip(program.outs, slots(program), strict=True))
        self.registers: list[torch.dtype] = []
        self.free: list[int] = []
        self.lines: list[str] = []
        self.copies: list[str] = []

    def operation(self, i: int, name: str, args: tuple[Arg, ...]) -> None:
        texts = [self.at[a] if type(a) is int else str(a) for a in args]
        # An operation may overwrite an argument that it reads for the last time: torch
        # reads each element before it writes it, and accepts an out= that is exactly an
        # input.
        dead = [a for a in dict.fromkeys(args) if self._dies(a, i)]
        target = self._target(i, dead)
        self.lines.append(_line(name, texts, target))
        for a in dead:
            text = self.at[a]  # type: ignore[index]  # a value
            # Inputs are not registers: the gradient is the caller's, and the others
            # take results of their own.
            if text.startswith("r[") and text != target:
                self.free.append(int(text[2:-1]))
        self.at[i] = target

    def _dies(self, a: Arg, i: int) -> bool:
        return type(a) is int and self.last.get(a) == i and a not in self.home

    def _target(self, i: int, dead: list[Arg]) -> str:
        dtype = self.program.dtypes[i]
        slot = self.home.get(i)
        if slot is not None and self._may_overwrite(slot, i, dtype):
            return f"b{slot}"
        place = self._register(dtype, dead)
        if slot is not None:
            # A later operation still reads the old content, so the copy waits for the
            # end.
            self.copies.append(f"b{slot}.copy_({place})")
        return place

    def _may_overwrite(self, slot: int, i: int, dtype: torch.dtype) -> bool:
        """Whether nothing reads the old content of ``slot`` after operation ``i``."""
        is_result = slot in self.program.outs
        return (
            dtype is self.program.dtypes[slot]
            and self.last.get(slot, -1) <= i
            and not is_result
        )

    def _register(self, dtype: torch.dtype, dead: list[Arg]) -> str:
        for a in dead:
            text = self.at[a]  # type: ignore[index]  # a value
            if text.startswith("r[") and self.registers[int(text[2:-1])] is dtype:
                return text
        for number in self.free:
            if self.registers[number] is dtype:
                self.free.remove(number)
                return f"r[{number}]"
        self.registers.append(dtype)
        return f"r[{len(self.registers) - 1}]"

    def source(self) -> str:
        inputs = ", ".join(f"b{i}" for i in range(self.program.n_inputs))
        body = [*self.lines, *self.copies] or ["pass"]
        return f"def run({inputs}, r, c, k=None):\n" + "".join(
            f"    {x}\n" for x in body
        )


def _line(name: str, texts: list[str], target: str) -> str:
    if name == "copy" or name.startswith("to:"):
        return f"{target}.copy_({texts[0]})"
    if name == "fill":
        return f"{target}.fill_({texts[0]})"
    if name.startswith("round:"):
        return f"round_into({texts[0]}, k, {target})"
    if name.startswith("pow:"):
        texts, name = [*texts, name[4:]], "pow"
    if name == "relu":
        # torch.relu has no out=.
        return f"torch.clamp_min({texts[0]}, 0.0, out={target})"
    if name == "where":
        # torch.where takes Python scalars, but not together with out=.
        texts = [texts[0], *(_tensor(t, target) for t in texts[1:])]
    if name.endswith("_alpha"):
        return (
            f"torch.{name[:-6]}({texts[0]}, {texts[1]}, alpha={texts[2]}, out={target})"
        )
    if name in ("addcmul", "addcdiv"):
        head, value = ", ".join(texts[:3]), texts[3]
        return f"torch.{name}({head}, value={value}, out={target})"
    return f"torch.{name}({', '.join(texts)}, out={target})"


def _tensor(text: str, target: str) -> str:
    is_constant = not text.startswith(("b", "r["))
    return f"{target}.new_tensor({text})" if is_constant else text
