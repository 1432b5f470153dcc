"""Drawn steps on every engine, against the step as it is written.

python -m tests.campaigns.engines [--n N] [--seed S] [--show NUMBER]
"""

import argparse
import math
import random
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from burnish.optim import ClipValue, ImpureStepError, SimpleOptimizer
from burnish.optim.bound.weight_precision import WeightPrecision
from burnish.optim.engines import choice, foreach
from burnish.optim.engines.tracing.extended_state import KEPT
from burnish.optim.engines.tracing.stochastic_rounding import rounded
from burnish.records import Record

from .batch import collecting, compiled_together, small_blocks
from .forks import Outcomes, run_cases
from .intervals import Interval
from .steps import drawn_text, optimizer_of

GOOD = {"e": "to the promise", "r": "refused, as the step as written is"}
BAD = {
    "w": "other numbers",
    "s": "another state",
    "x": "another exception",
    "h": "half a step",
    "g": "generators elsewhere",
}
TOGETHER = 64
"""Cases whose programs are compiled at once."""

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
ENGINES = ("blocks", "compiled", "foreach", "loop")


class Defect(Exception):
    """What an engine does and must not; the first argument is a letter of `BAD`."""


@dataclass
class Case:
    """One drawn step, the tensors it is given, and how it is bound."""

    number: int
    seed: int = 0
    text: str = field(init=False)
    simple: SimpleOptimizer[Any] = field(init=False)
    dtype: torch.dtype = field(init=False)
    forms: list[str] = field(init=False)
    sizes: list[int] = field(init=False)
    threads: int = field(init=False)
    options: dict[str, Any] = field(init=False)
    n_steps: int = field(init=False)
    is_special: bool = field(init=False)
    precision: WeightPrecision = field(init=False)

    def __post_init__(self) -> None:
        rng = random.Random(f"{self.seed} {self.number}")
        self.text = drawn_text(rng)
        self.simple = optimizer_of(self.text)()
        self.dtype = rng.choice(DTYPES)
        # In which order parameters draw random numbers is not promised.
        count = 1 if "rand" in self.text else rng.randint(1, 4)
        self.forms = [rng.choice(list(FORMS)) for _ in range(count)]
        self.sizes = [rng.choice(SIZES) for _ in range(count)]
        if rng.random() < 0.01 and not self.is_small:
            self.sizes[0] = 70_001
        self.threads = rng.choice([1, 2, 4])
        self.n_steps = rng.randint(1, 5)
        self.is_special = rng.random() < 0.15
        self.options = {}
        if rng.random() < 0.1:
            self.options["maximize"] = True
        if rng.random() < 0.1:
            self.options["clip"] = ClipValue(0.5)
        if rng.random() < 0.1:
            self.options["state_dtype"] = torch.float32
        self.rng_state = rng.getrandbits(32)
        # Asked last, and of other numbers, so that all else is drawn as ever.
        draw = self.rng("precision").random()
        if draw < 0.2:
            wide = torch.float32 if draw < 0.15 else torch.float64
            self.options["master_dtype"] = wide
        elif draw < 0.4:
            self.options |= {"rounding": "stochastic", "seed": self.number}
        self.precision = WeightPrecision(
            **{k: v for k, v in self.options.items() if k in _OF_PRECISION}
        )

    @property
    def is_small(self) -> bool:
        """Whether blocks are small, so that there are many."""
        return self.number // TOGETHER % 2 == 1

    def rng(self, what: str) -> random.Random:
        """Return numbers that are the same whenever this is asked."""
        return random.Random(f"{what} {self.seed} {self.number}")

    def params(self) -> list[Tensor]:
        """Return the parameters at the beginning."""
        generator = torch.Generator().manual_seed(self.rng_state)
        pairs = zip(self.forms, self.sizes, strict=True)
        made = [FORMS[f](self._values(n, generator)) for f, n in pairs]
        if self.rng("share").random() < 0.03 and made[0].is_contiguous():
            made.append(made[0].view(-1)[: made[0].numel() // 2])
        return made

    def _values(self, size: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randn(size, generator=generator, dtype=torch.float64)
        if self.is_special and size:
            special = torch.tensor(_SPECIAL, dtype=torch.float64)
            at = torch.randint(len(special), (size,), generator=generator)
            some = torch.rand(size, generator=generator) < 0.2
            drawn = torch.where(some, special[at], drawn)
        return drawn.to(self.dtype)

    def grads(self, params: Sequence[Tensor], step: int) -> list[Tensor | None]:
        """Return the gradients of a step; some are missing, some of another format."""
        rng = self.rng(f"grads {step}")
        generator = torch.Generator().manual_seed(rng.getrandbits(32))
        grads: list[Tensor | None] = []
        for param in params:
            values = self._values(param.numel(), generator).reshape(param.shape)
            grad = torch.empty_like(param).copy_(values)
            draw = rng.random()
            if draw < 0.12:
                grads.append(None)
            elif draw < 0.16:
                grads.append(values.contiguous())
            elif draw < 0.19:
                grads.append(values.new_full((), 0.5).expand(param.shape))
            else:
                grads.append(grad)
        return grads

    def lr(self, step: int) -> float:
        """Return the learning rate of a step."""
        return [0.1, 0.1, 0.05, 0.01, 0.2][step]


_OF_PRECISION = ("state_dtype", "master_dtype", "rounding", "seed")
_SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e-42, 1e-30, 6e4, 1.0, -1.0]
SIZES = [0, 1, 2, 3, 7, 12, 15, 16, 17, 31, 33, 48, 64, 65, 100, 130, 257]


def _transposed(values: Tensor) -> Tensor:
    rows = next((r for r in (4, 3, 2) if len(values) % r == 0), 1)
    return values.reshape(rows, -1).t()


def _channels_last(values: Tensor) -> Tensor:
    if len(values) % 12:
        return values
    cube = values.reshape(2, 3, -1, 2)
    return cube.to(memory_format=torch.channels_last)


def _with_gaps(values: Tensor) -> Tensor:
    room = torch.zeros(len(values), 2, dtype=values.dtype)
    room[:, 0] = values
    return room[:, 0]


def _misaligned(values: Tensor) -> Tensor:
    raw = bytearray(values.numel() * values.element_size() + 1)
    if not values.numel():
        return values
    count = values.numel()
    moved = torch.frombuffer(raw, dtype=values.dtype, count=count, offset=1)
    return moved.copy_(values)


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "flat": lambda values: values,
    "square": lambda values: (
        values.reshape(-1, 1) if len(values) % 4 else (values.reshape(4, -1))
    ),
    "transposed": _transposed,
    "channels last": _channels_last,
    "scalar": lambda values: values.new_full((), 0.75),
    "gaps": _with_gaps,
    "inside": lambda values: torch.cat([values, values])[1 : 1 + len(values)],
    "misaligned": _misaligned,
    "reversed dims": lambda values: values.reshape(1, -1, 1).permute(2, 1, 0),
}


def seed_all(seed: int) -> None:
    """Set the generators that a step may draw from."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def next_draws() -> tuple[float, float, float]:
    """Return what the generators would give next."""
    return torch.rand(()).item(), random.random(), float(np.random.rand())


def same(a: Any, b: Any) -> bool:
    """Return whether two values are equal to the bit, and of one type."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.dtype is not b.dtype or a.shape != b.shape:
            return False
        return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, Record) and isinstance(b, Record):
        return type(a) is type(b) and same(dict(a.fields()), dict(b.fields()))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b or a != a)


Fields = dict[str, Any]


def as_written(
    case: Case, params: list[Tensor], states: list[Fields | None], step: int
) -> None:
    """Write what the step gives for each parameter, one after the other."""
    grads = case.grads(params, step)
    for i, param in enumerate(params):
        if grads[i] is not None and states[i] is None:
            states[i] = first_state(case, param, i)
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        stored = states[i]
        if grad is None or stored is None:
            continue
        new, state = called(case, param, grad, stored, step)
        # One after the other: parameters may share memory.
        states[i] = cloned(state, param)
        param.copy_(new)


def first_state(case: Case, param: Tensor, i: int) -> Fields:
    """Return the fields of the state before the first step, of parameter ``i``."""
    first = case.simple.init(param.to(case.precision.state_dtype_of(param)))
    beside = case.precision.beside(param, str(i))
    return cloned({**first.fields(), **beside}, param)


def cloned(fields: Fields, param: Tensor) -> Fields:
    """Return the fields of a state, with tensors of their own, formed as ``param``."""
    fields = {k: _own(v) for k, v in fields.items() if v is not None}
    for name, value in fields.items():
        if isinstance(value, Tensor) and value.shape == param.shape:
            room = torch.empty_strided(param.shape, param.stride(), dtype=value.dtype)
            fields[name] = room.copy_(value)
    return fields


def _own(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Record):
        return value.clone()
    return list(value) if isinstance(value, list) else value


def called(
    case: Case, tensor: Any, grad: Any, stored: Fields, step: int
) -> tuple[Any, Fields]:
    """Return the new parameter and its state's fields, with all done around a step."""
    simple, dtype = case.simple, tensor.dtype
    weight, kept = tensor, {k: v for k, v in stored.items() if k in KEPT}
    if "master" in kept:
        # A weight that is no longer the rounding of its master gives it anew.
        master = kept["master"]
        is_rounding = master.to(dtype) == weight
        tensor = torch.where(is_rounding, master, weight.to(master.dtype))
    state_type = type(simple).init.__globals__["State"]  # type: ignore[attr-defined]  # it was drawn
    state = object.__new__(state_type)
    names = state_type.__dataclass_fields__
    vars(state).update({name: stored.get(name) for name in names})
    wide = _compute_dtype(case, dtype)
    before = vars(state).copy()
    if wide is not None:
        tensor, grad = tensor.to(wide), grad.to(wide)
        for name, value in before.items():
            if isinstance(value, Tensor | Interval) and value.dtype.is_floating_point:
                vars(state)[name] = value.to(wide)
    if "clip" in case.options:
        grad = grad.clamp(-0.5, 0.5)
    if "maximize" in case.options:
        grad = -grad
    arguments = [
        v for v in (tensor, grad, *vars(state).values()) if isinstance(v, Tensor)
    ]
    versions = [a._version for a in arguments]
    new, new_state = simple.step(case.lr(step), tensor, grad, state)
    if [a._version for a in arguments] != versions:
        raise ImpureStepError("changed an argument")
    if wide is not None:
        new, kept = _closed(new, dtype, kept)
        for name, value in vars(new_state).items():
            old = before.get(name)
            both = isinstance(value, Tensor | Interval) and isinstance(old, type(value))
            if both and value.dtype.is_floating_point:
                vars(new_state)[name] = value.to(old.dtype)
    _check(tensor if wide is None else None, dtype, new, before, new_state)
    return new, {**new_state.fields(), **kept}


def _compute_dtype(case: Case, dtype: torch.dtype) -> torch.dtype | None:
    """Return what a step is computed in, if it is not what its tensors have."""
    weight, state_dtype = torch.empty(0, dtype=dtype), case.options.get("state_dtype")
    wide = case.precision.compute_dtype(weight)
    return None if wide is dtype and state_dtype in (None, dtype) else wide


def _closed(new: Any, dtype: torch.dtype, kept: Fields) -> tuple[Any, Fields]:
    """Return the new weight and what is kept for it, of what the step gave."""
    if "master" in kept:
        master = new.to(kept["master"].dtype)
        return master.to(dtype), {"master": master}
    if "rounding_step" not in kept:
        return new.to(dtype), kept
    turn, key = kept["rounding_step"], kept["rounding_key"]

    def bits_added(value: Tensor) -> Tensor:
        return rounded(value.to(torch.float32), dtype, key, turn)

    if isinstance(new, Interval):
        # The same bits are added to both ends, which keeps their order.
        new = Interval(bits_added(new.low), bits_added(new.high), new.free)
    else:
        new = bits_added(new)
    return new, {**kept, "rounding_step": turn + 1}


def _check(
    tensor: Any, dtype: torch.dtype, new: Any, before: Fields, new_state: Any
) -> None:
    """Raise ImpureStepError unless dtypes and shapes are those that came."""
    pairs = [(before[k], vars(new_state)[k]) for k in before]
    pairs = [(a, b) for a, b in pairs if isinstance(a, Tensor | Interval)]
    for old, value in [*pairs, *([(tensor, new)] if tensor is not None else [])]:
        if not isinstance(value, Tensor | Interval):
            raise ImpureStepError("no tensor")
        if value.dtype is not old.dtype or value.shape != old.shape:
            raise ImpureStepError("another form")
    if new.dtype is not dtype:
        raise ImpureStepError("another dtype")


class Run:
    """One engine's parameters and optimizer."""

    def __init__(self, case: Case, engine: str) -> None:
        self.case, self.engine = case, engine
        self.params = [nn.Parameter(p, requires_grad=False) for p in case.params()]
        net = nn.ParameterList(self.params)
        fused = {"blocks": None, "loop": False}.get(engine, True)
        with self.patched():
            self.adaptor = case.simple.bind(
                net, lr=case.lr(0), fused=fused, **case.options
            )

    @contextmanager
    def patched(self) -> Generator[None]:
        """Let the lists of accelerators run on the CPU."""
        if self.engine != "foreach":
            yield
            return
        with (
            mock.patch.object(choice, "compiled", foreach.listable),
            mock.patch.object(choice, "Compiled", return_value=foreach.Foreach()),
        ):
            yield

    def step(self, number: int) -> None:
        """Take a step, and check nothing."""
        grads = self.case.grads(self.params, number)
        for param, grad in zip(self.params, grads, strict=True):
            param.grad = grad
        self.adaptor.param_groups[0]["lr"] = self.case.lr(number)
        with self.patched(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.adaptor.step()

    def looped(self) -> set[int]:
        """Return the parameters that the last step ran as written."""
        buckets = vars(self.adaptor)["_runner"].stepper.plans[0].buckets
        loops = [b for b in buckets if b.engine.name == "loop"]
        return {i for bucket in loops for i in bucket.positions}

    def values(self) -> list[Any]:
        """Return all that a step may change."""
        states = [self.adaptor.state.get(p) for p in self.params]
        return [[p.detach().clone() for p in self.params], [_state(s) for s in states]]


def _state(stored: Fields | None) -> Fields:
    return {k: _own(v) for k, v in (stored or {}).items()}


def outcome(case: Case) -> str:
    """Return how a case ended, as a letter. Raises Defect."""
    torch.set_num_threads(case.threads)
    params, states = case.params(), [None] * len(case.params())
    written: list[Fields | None] = list(states)
    runs = [Run(case, engine) for engine in ENGINES]
    for step in range(case.n_steps):
        before = [p.clone() for p in params]
        old = [
            None if s is None else {k: _own(v) for k, v in s.items()} for s in written
        ]
        seed_all(case.rng_state + step)
        error: Exception | None = None
        try:
            as_written(case, params, written, step)
        except Exception as raised:
            error = raised
        draws = next_draws()
        for run in runs:
            _compare_step(run, step, error, draws, before, old, params, written)
        if error is not None:
            return "r"
    return "e"


def _compare_step(
    run: Run,
    step: int,
    error: Exception | None,
    draws: Any,
    before: list[Tensor],
    old: list[Fields | None],
    params: list[Tensor],
    written: list[Fields | None],
) -> None:
    case = run.case
    values = run.values()
    seed_all(case.rng_state + step)
    try:
        run.step(step)
    except Exception as raised:
        if error is None:
            raise Defect("x", run.engine, step, repr(raised)) from raised
        if type(raised) is not type(error):
            raise Defect("x", run.engine, step, repr(raised), repr(error)) from raised
        if not same(run.values()[0], values[0]):
            raise Defect("h", run.engine, step) from raised
        return
    if error is not None:
        raise Defect("x", run.engine, step, "no error", repr(error)) from error
    if next_draws() != draws:
        raise Defect("g", run.engine, step)
    looped = run.looped()
    for i, param in enumerate(run.params):
        stored: Fields = run.adaptor.state.get(param) or {}
        pairs: Fields = {"tensor": (param.detach(), params[i])}
        theirs = written[i] or {}
        if stored.keys() != theirs.keys():
            raise Defect("s", run.engine, step, i, stored, theirs)
        for name, value in theirs.items():
            pairs[f"state.{name}"] = (stored[name], value)
        wrong = [name for name, (ours, right) in pairs.items() if not same(ours, right)]
        if wrong:
            _judge(run, step, i, wrong, pairs, looped, before, old)
        for ours, right in pairs.values():
            if isinstance(right, Tensor) and not same(ours, right):
                ours.copy_(right)


def _judge(
    run: Run,
    step: int,
    i: int,
    wrong: list[str],
    pairs: dict[str, Any],
    looped: set[int],
    before: list[Tensor],
    old: list[Fields | None],
) -> None:
    """Raise Defect where a difference is more than the engine's promise allows."""
    case = run.case
    plain = [n for n in wrong if not isinstance(pairs[n][1], Tensor)]
    if i in looped or plain:
        shown = {name: pairs[name] for name in wrong}
        raise Defect("s" if plain else "w", run.engine, step, i, "exact", shown)
    grad = case.grads(before, step)[i]
    if grad is None and len(before) > len(case.sizes):
        return  # what was stepped, and is compared itself, shares its memory
    stored = old[i]
    if stored is None:
        stored = first_state(case, before[i], i)
    as_intervals: Fields = {
        k: Interval(v, v) if isinstance(v, Tensor) else v for k, v in stored.items()
    }
    new, new_state = called(
        case,
        Interval(before[i], before[i]),
        Interval(grad, grad),  # type: ignore[arg-type]  # there is one
        as_intervals,
        step,
    )
    for name in wrong:
        interval = new if name == "tensor" else new_state[name[6:]]
        ours, right = pairs[name]
        if not bool(interval.holds(right).all()):
            raise AssertionError(f"the loop is outside: {name} {interval.low} {right}")
        bad = ~interval.holds(ours)
        if bool(bad.any()):
            ends = interval.low[bad][:4], interval.high[bad][:4]
            values = [t.tolist() for t in (ours[bad][:4], right[bad][:4], *ends)]
            raise Defect("w", run.engine, step, i, name, *values)


class Cases:
    """Cases by number; the programs of 64 are compiled at once, when first needed."""

    def __init__(
        self, seed: int, report: Callable[[str], None], together: int = TOGETHER
    ) -> None:
        self.seed, self.report, self.together = seed, report, together
        self.chunk = -1
        self.stack = ExitStack()

    def __enter__(self) -> "Cases":
        self.threads = torch.get_num_threads()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()
        torch.set_num_threads(self.threads)

    def __call__(self, number: int) -> str:
        """Return how a case ended, as a letter."""
        if number // TOGETHER != self.chunk:
            self._enter(number)
        case = Case(number, self.seed)
        try:
            with torch.no_grad():
                return outcome(case)
        except Defect as defect:
            return self._told(case, str(defect.args[0]), repr(defect.args[1:]))
        except Exception as error:
            return self._told(case, "?", repr(error))

    def _told(self, case: Case, letter: str, text: str) -> str:
        self.report(f"{case.number} {letter} {case.dtype} {case.forms} {text:.1000}")
        return letter

    def _enter(self, number: int) -> None:
        self.stack.close()
        self.stack = ExitStack()
        self.chunk = number // TOGETHER
        first = self.chunk * TOGETHER
        if Case(first, self.seed).is_small:
            self.stack.enter_context(small_blocks())
        sources = sources_of(
            range(number, min(number + self.together, first + TOGETHER)), self.seed
        )
        self.stack.enter_context(compiled_together(sources))


def sources_of(numbers: range, seed: int) -> list[str]:
    """Return the C of the programs that these cases compile."""
    with collecting() as sources, torch.no_grad():
        for number in numbers:
            case = Case(number, seed)
            try:
                run = Run(case, "compiled")
                for step in range(case.n_steps):
                    run.step(step)
            except Exception:
                continue  # its outcome says why
    return list(sources)


def engines(n: int, seed: int) -> tuple[dict[str, int | float], Outcomes]:
    """Return how ``n`` drawn steps ended on every engine."""
    outcomes = Outcomes()
    for start in range(0, n, 8 * TOGETHER):
        some = range(start, min(n, start + 8 * TOGETHER))
        cases = Cases(seed, lambda text: print(text, file=sys.stderr, flush=True))
        part = run_cases(cases, some, GOOD, seconds=120)
        outcomes.counts += part.counts
        for letter, numbers in part.defects.items():
            outcomes.defects.setdefault(letter, []).extend(numbers)
    return {"steps": n, **outcomes.counts}, outcomes


def main() -> int:
    """Run drawn steps, print the figures, and return 1 if there was a defect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, help="print one case and run it alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.show is not None:
        case = Case(given.show, given.seed)
        print(case.text, case.options, case.forms, case.sizes, case.n_steps)
        print(Cases(given.seed, print)(given.show))
        return 0
    figures, outcomes = engines(given.n, given.seed)
    print(figures)
    return int(bool(outcomes.defects))


if __name__ == "__main__":
    raise SystemExit(main())
