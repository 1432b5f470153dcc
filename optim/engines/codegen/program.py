"""A program: recorded operations prepared for code generation."""

from dataclasses import dataclass, field

import torch

from ..tracing.recording import Op, Recording

Arg = int | str
"""A value's number, or an expression of constants (``c[3]``, ``-c[3]``, ``1.0``)."""


@dataclass(slots=True)
class StepProgram:
    """Straight-line code: value ``i`` is an input, or the result of one operation.

    Inputs are the tensor, the gradient, then the tensors of the state. ``outs`` are the
    values that become the tensor and the tensors of the state, in that order.
    """

    n_inputs: int
    dtypes: list[torch.dtype]
    ops: dict[int, tuple[str, tuple[Arg, ...]]] = field(default_factory=dict)
    outs: list[int] = field(default_factory=list)

    @property
    def rounds(self) -> bool:
        """Whether a result is rounded with random bits."""
        return any(name.startswith("round:") for name, _ in self.ops.values())

    def last_uses(self) -> dict[int, int]:
        """Return by value the operation that reads it last."""
        return {
            a: i for i, (_, args) in self.ops.items() for a in args if type(a) is int
        }

    def counts(self) -> dict[int, int]:
        """Return by value how often it is read; a result counts as read."""
        count = dict.fromkeys(range(len(self.dtypes)), 0)
        for out in self.outs:
            count[out] += 1
        for _, args in self.ops.values():
            for arg in args:
                if type(arg) is int:
                    count[arg] += 1
        return count


def program_of(tape: Recording, outs: tuple[int, ...]) -> StepProgram:
    """Return the operations of ``tape``, without those whose results are unused.

    Every result that is an input, other than the slot's own, becomes a copy, so that
    exchanged and shared results are right in any order of the writes.
    """
    program = StepProgram(tape.n_inputs, list(tape.dtypes))
    for i, op in enumerate(tape.ops, tape.n_inputs):
        program.ops[i] = (op[0], _arguments(op))
    results = set[int]()
    for slot, out in zip(slots(program), outs, strict=True):
        # Engines write results one by one. If a step exchanges two tensors of its
        # state, the second write would read what the first has overwritten.
        if (out < program.n_inputs and out != slot) or out in results:
            program.dtypes.append(program.dtypes[out])
            program.ops[len(program.dtypes) - 1] = ("copy", (out,))
            out = len(program.dtypes) - 1
        results.add(out)
        program.outs.append(out)
    return _without_unread(program)


def slots(program: StepProgram) -> list[int]:
    """Return the inputs that the results overwrite: all but the gradient."""
    return [0, *range(2, program.n_inputs)]


def _arguments(op: Op) -> tuple[Arg, ...]:
    return tuple(a if a >= 0 else f"c[{~a}]" for a in op[1:])


def _without_unread(program: StepProgram) -> StepProgram:
    read = set(program.outs)
    # Going backwards, inputs of unused operations are found to be unused as well.
    for i in reversed(program.ops):
        if i in read:
            read.update(a for a in program.ops[i][1] if type(a) is int)
    program.ops = {i: op for i, op in program.ops.items() if i in read}
    return program


def with_true_masters(program: StepProgram, master: int) -> StepProgram:
    """Return the program for weights that are the rounding of input ``master``.

    A step begins with ``where(master.to(half) == weight, master, weight.to(wide))``,
    which is the master in that case. Programs recorded differently are returned
    unchanged.
    """
    rounding, is_rounding, widened, chosen = range(
        program.n_inputs, program.n_inputs + 4
    )
    begun = {
        is_rounding: ("eq", (rounding, 0)),
        chosen: ("where", (is_rounding, master, widened)),
    }
    if chosen in program.outs or any(
        program.ops.get(i) != op for i, op in begun.items()
    ):
        return program
    ops = {
        i: (name, tuple(master if a == chosen else a for a in args))
        for i, (name, args) in program.ops.items()
    }
    return _without_unread(
        StepProgram(program.n_inputs, program.dtypes, ops, program.outs)
    )


def contracted(program: StepProgram) -> StepProgram:
    """Return the program with products and quotients fused into the sums over them.

    ``x + a * b * c`` becomes one addcmul: fewer passes over memory, and a possibly
    different last digit. Half precisions, which round after every operation, are not
    fused.
    """
    count = program.counts()
    result = StepProgram(
        program.n_inputs, program.dtypes, dict(program.ops), program.outs
    )
    for i, (name, args) in program.ops.items():
        if name not in ("add", "sub") or program.dtypes[i] not in _EXACT:
            continue
        x, y = args
        if type(x) is not int or type(y) is not int or x == y:
            continue
        term = _term(result, count, y, program.dtypes[i], negative=name == "sub")
        # A sum may fuse either side; a difference only its right side, since the left
        # one has no sign to change.
        left_term = None
        if name == "add":
            left_term = _term(result, count, x, program.dtypes[i], negative=False)
        # Fusing a product of two tensors saves more than a scaled tensor.
        if left_term is not None and (term is None or len(left_term[1]) > len(term[1])):
            term, x = left_term, y
        if term is not None:
            result.ops[i] = (term[0], (x, *term[1]))
    return _without_unread(result)


_EXACT = frozenset({torch.float32, torch.float64})


def _term(
    program: StepProgram,
    count: dict[int, int],
    y: int,
    dtype: torch.dtype,
    *,
    negative: bool,
) -> tuple[str, tuple[Arg, ...]] | None:
    """Return how to add the value ``y`` without computing it separately first."""
    node, factor = _unscaled(program, count, y, dtype)
    name, args = program.ops.get(node, ("", ()))
    # A product that is also used elsewhere is computed anyway: fused, it would be
    # computed twice.
    is_own = count[node] == 1 and program.dtypes[node] is dtype
    if is_own and name in ("mul", "div") and all(type(a) is int for a in args):
        a, b = args
        if factor is None:
            a, factor = _unscaled(program, count, a, dtype)
        if factor is None and name == "mul":
            b, factor = _unscaled(program, count, b, dtype)
        fused = "addcmul" if name == "mul" else "addcdiv"
        return fused, (a, b, _signed(factor or "1.0", negative))
    return None if factor is None else ("add_alpha", (node, _signed(factor, negative)))


def _unscaled(
    program: StepProgram, count: dict[int, int], y: Arg, dtype: torch.dtype
) -> tuple[int, str | None]:
    """Return ``y`` without its constant factor, and the constant."""
    value = int(y)
    name, args = program.ops.get(value, ("", ()))
    is_own = count[value] == 1 and program.dtypes[value] is dtype
    # A recording puts the tensor of a product first and the constant second.
    if is_own and name == "mul" and type(args[1]) is str:
        return int(args[0]), args[1]
    return value, None


def _signed(factor: str, negative: bool) -> str:
    return f"-{factor}" if negative else factor
