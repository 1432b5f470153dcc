"""Steps as users write them, drawn as text: states, branches, operations of torch."""

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from burnish.optim import SimpleOptimizer
from burnish.records import Record

_NAMES = itertools.count()

UNARY = [
    "-{a}", "{a}.abs()", "{a}.abs().sqrt()", "({a}.abs() + {s}).rsqrt()",
    "({a}.abs() + {s}).reciprocal()", "{a}.square()", "torch.square({a})",
    "{a}.sign()", "torch.sign({a})", "{a}.clamp(-3, 3).exp()",
    "({a}.abs() + {s}).log()", "{a}.abs().log1p()", "{a}.clamp(-2, 2).expm1()",
    "{a}.tanh()", "torch.tanh({a})", "torch.sigmoid({a})", "{a}.sigmoid()",
    "{a}.relu()", "{a} ** 2", "{a} ** 3", "{a}.pow(3)", "{a}.abs() ** 0.5",
    "({a}.abs() + {s}) ** -0.5", "({a} * {a} + {s}).pow(-1)",
    "({a}.abs() + {s}) ** -2", "{a}.clone()", "{a}.detach()", "torch.neg({a})",
    "{a}.sqrt()", "{a}.log()", "{a}.rsqrt()", "{a}.reciprocal()", "{a}.exp()",
    "{a}.expm1()", "{a}.log1p()", "{a} ** -1", "torch.abs({a})",
]  # fmt: skip
BINARY = [
    "{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} * {b}", "{a} / ({b}.abs() + {s})",
    "{a} / {b}", "torch.add({a}, {b}, alpha={n})", "{a}.sub({b}, alpha={n})",
    "torch.sub({a}, {b})", "torch.maximum({a}, {b})", "torch.minimum({a}, {b})",
    "{a}.clamp_min({b})", "{a}.clamp_max({b})", "torch.clamp({a}, {b}, {b}.abs())",
    "{a}.lerp({b}, {u})", "torch.lerp({a}, {b}, {u})", "{a}.lerp({b}, {a}.sigmoid())",
    "torch.addcmul({a}, {b}, {c}, value={n})", "{a}.addcmul({b}, {c})",
    "torch.addcdiv({a}, {b}, {c}.abs() + {s}, value={n})",
    "{a}.addcdiv({b}, {c}.abs() + 1)", "torch.where({m}, {a}, {b})",
    "torch.where({m}, {a}, {n})", "torch.where({m}, {n}, {b})", "{a}.where({m}, {b})",
    "{a}.masked_fill({m}, {n})", "{a} * {m}", "{m}.to({a}.dtype) * {a}",
    "({a} > {b}).type_as({a}) * {a}", "{a}.mul({b})", "torch.mul({a}, {b})",
    "torch.div({a}, {b}.abs() + 1)", "{a}.true_divide({b}.abs() + {s})", "{n} - {a}",
    "{n} / ({a}.abs() + {s})", "{a} + {n}", "{a} * {n}", "{a} / {s}", "{a} - {n}",
    "{n} * {a}", "{n} + {a}", "{a}.clamp(-{s}, {s})", "{a}.clip(max={n})",
    "torch.clamp({a}, min={n})", "torch.zeros_like({a})", "torch.full_like({a}, {n})",
    "torch.ones_like({a}) * {b}", "torch.rsub({a}, {b})", "{a} * 0.9 + {b} * 0.1",
    "{a} - ({b} / ({c}.abs() + {s})) * {n}", "{a} * {u} + {b} * {b} * (1 - {u})",
    "{a} + {b} * {c} * {n}", "{a} - {b} * {c}", "{a} * True + {b}",
]  # fmt: skip
MASKS = [
    "{a} > {b}", "{a} >= {n}", "{a} < {b}", "{a} <= {n}", "{a} == {b}", "{a} != {n}",
    "({a} * {b}) < 0", "torch.gt({a}, {b})", "{a}.ge({b})", "{a}.lt({n})",
]  # fmt: skip
IN_PLACE = [
    "{v}.mul_({n}).add_({b}, alpha={n})", "{v}.add_({b})", "{v} += {b}",
    "{v} *= {n}", "{v}.clamp_(-1, 1)", "{v}.addcmul_({b}, {b}, value={n})",
    "{v}.sub_({b} * {n})", "{v}.neg_()", "{v}.lerp_({b}, {u})",
    "{v}.masked_fill_({m}, {n})", "{v}.detach().mul_({n})", "{v}.data.add_({b})",
    "{v}.contiguous().mul_(2)", "{v}.to({v}.dtype).sub_({b})", "{v}.copy_({b})",
    "{v}.zero_()", "{v}.fill_({n})", "{v} /= {s}", "{v}.abs_().sqrt_()",
    "torch.add({b}, {n}, out={v})", "{v}.clone().mul_(3)", "{v}.div_({b}.abs() + 1)",
]  # fmt: skip
WIDE = [
    "{a}.float()", "{a}.double()", "{a}.to(torch.float32)", "{a}.to(torch.float64)",
    "{a}.float() * {w}", "{w} * {a}", "{a} + {w}", "{w}.square()", "{w}.abs().sqrt()",
    "{w} * {n}", "{w} / 3", "{a}.to(torch.bfloat16)", "{a}.half()", "{w}.sign()",
    "torch.zeros_like({a}, dtype=torch.float32)",
]  # fmt: skip
AS_WRITTEN = [
    "{a} / ({a}.norm() + 1)", "{a} * {a}.abs().mean()", "{a} - {a}.sum() * 1e-3",
    "{a} * (1.0 if {a}.sum() > 0 else -1.0)", "{a}.sin()", "{a}.round()",
    "torch.atan2({a}, {b})", "{a}.nan_to_num()", "{a}[...]", "torch.erf({a})",
    "{a}.flatten().reshape({a}.shape)", "functional.softplus({a})",
    "torch.rand_like({a}) * {a}", "{a} * random.random()", "torch.hypot({a}, {b})",
    "{a} * float({b}.float().norm())", "{a}.abs() ** 1.3", "torch.stack([{a}, {b}])[1]",
    "{a} * np.random.rand()", "torch.where({m} & ~{m}, {a}, {b})",
    "torch.where({a}.isfinite(), {a}, {b})", "{a} * torch.rand(())",
    "{a}.masked_fill(torch.logical_or({m}, {m}), {n})", "{a} * {a}.new_ones(())",
    "({a}.double() / 3).to({a}.dtype)", "{a} + {a}.numpy(force=True).sum() * 0",
]  # fmt: skip
NUMBERS = [
    "lr", "lr", "0.1", "0.9", "-0.3", "2", "1e-3", "0.5**t", "(1 - 0.9**t)", "t",
    "math.sqrt(t)", "1 / t", "self.h0", "self.h1", "float(self.h2)", "state.x",
    "1 / max(tensor.numel(), 1)", "tensor.ndim", "(t % 3)", "(lr if t > 1 else 0.0)",
    "torch.tensor(0.1)", "math.cos(t)", "np.float64(0.3)", "-0.0",
    "torch.tensor(0.3, dtype=torch.float64)", "(0.2 if self.h2 else -0.2)",
]  # fmt: skip
BRANCHES = [
    "t % 2 == 0", "t > 2", "lr > 0.05", "self.h2", "tensor.ndim > 1", "state.on",
    "tensor.dtype is torch.float32", "tensor.numel() > 8", "state.x > 0.05",
    "state.b is None", "state.name == 'a'", "t == 3",
]  # fmt: skip


@dataclass
class Text:
    """The lines of a step while they are drawn, and the values that they name."""

    rng: random.Random
    lines: list[str] = field(default_factory=list[str])
    values: list[str] = field(default_factory=lambda: ["tensor", "grad"])
    own: list[str] = field(default_factory=list[str])
    """Values that the step made, and may change in place."""
    masks: list[str] = field(default_factory=list[str])
    wide: list[str] = field(default_factory=list[str])
    n_names: int = 0

    def name(self) -> str:
        """Return a name that no value has."""
        self.n_names += 1
        return f"v{self.n_names}"

    def filled(self, template: str, **fixed: str) -> str:
        """Return a template with values and numbers in its places."""
        rng, recent = self.rng, self.values[-5:] + self.values[:4]
        if "{m}" in template and not self.masks:
            self.mask()
        places = {name: rng.choice(recent) for name in "abc"}
        places["m"] = rng.choice(self.masks) if self.masks else ""
        places["w"] = rng.choice(self.wide) if self.wide else places["a"]
        places["n"] = rng.choice(NUMBERS)
        places["s"] = rng.choice(["1e-3", "1e-8", "0.5", "1"])
        places["u"] = rng.choice(["0.1", "0.9", "0.5", "self.h0", "0.0", "1.0"])
        return template.format(**{**places, **fixed})

    def value(self, templates: list[str]) -> None:
        """Draw a line that makes a new value of the parameter's dtype."""
        text = self.filled(self.rng.choice(templates))
        name = self.name()
        self.lines.append(f"{name} = {text}")
        self.values.append(name)
        is_alias = text.endswith(".detach()")
        if not is_alias:
            self.own.append(name)

    def mask(self) -> None:
        """Draw a line that makes a mask."""
        text, name = self.filled(self.rng.choice(MASKS)), self.name()
        self.lines.append(f"{name} = {text}")
        self.masks.append(name)

    def widened(self) -> None:
        """Draw a line that makes a value of another dtype."""
        text, name = self.filled(self.rng.choice(WIDE)), self.name()
        self.lines.append(f"{name} = {text}")
        self.wide.append(name)

    def narrowed(self) -> None:
        """Draw a line that takes such a value back."""
        if not self.wide:
            return self.widened()
        name = self.name()
        self.lines.append(f"{name} = {self.rng.choice(self.wide)}.to(tensor.dtype)")
        self.values.append(name)
        return None

    def changed(self) -> None:
        """Draw a line that changes a value in place."""
        if self.own:
            name = self.rng.choice(self.own)
            text = self.filled(self.rng.choice(IN_PLACE), v=name)
            self.lines.append(text)

    def branch(self) -> None:
        """Draw a branch on numbers, in which a value is replaced."""
        if not self.own:
            return self.value(BINARY)
        name = self.rng.choice(self.own)
        templates = UNARY + BINARY
        ways = [self.filled(self.rng.choice(templates)) for _ in "ab"]
        self.lines.append(f"if {self.rng.choice(BRANCHES)}:")
        self.lines.append(f"    {name} = {ways[0]}")
        if self.rng.random() < 0.6:
            self.lines += ["else:", f"    {name} = {ways[1]}"]
        return None


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a drawn state: its type, first value, and values after a step."""

    hint: str
    init: str
    next: tuple[str, ...]


_P = ("{p}", "{p}", "state.{name}", "grad", "tensor", "state.{name} * 0.9 + {p} * 0.1")
TENSORS = [
    Field("Tensor", "torch.zeros_like(tensor)", _P),
    Field("Tensor", "torch.ones_like(tensor)", _P),
    Field("Tensor", "tensor.clone()", _P),
    Field("Tensor", "tensor", _P),
]
ODD = [
    Field(
        "Tensor",
        "torch.zeros_like(tensor, dtype=torch.float32)",
        ("{p}.float()", "state.{name} * 0.5 + {p}.float()"),
    ),
    Field("Tensor", "tensor.double()", ("state.{name} + {p}", "{p}.double()")),
    Field("Tensor", "tensor > 0", ("{m}", "state.{name}", "state.{name} & {m}")),
    Field("Tensor", "torch.zeros(())", ("state.{name} + 1", "state.{name}")),
    Field(
        "Tensor",
        "torch.zeros_like(tensor, dtype=torch.int64)",
        ("state.{name} + 1", "state.{name} + {m}"),
    ),
    Field("Tensor | None", "None", ("{p}", "{p} if t > 2 else None", "None")),
    Field("Tensor | None", "tensor.clone()", ("{p}", "{p} if t % 2 else None")),
    Field("Inner", "Inner(torch.zeros_like(tensor), 0)", ("Inner({p}, t)",)),
    Field("list[float]", "[]", ("[*state.{name}, lr][-3:]",)),
    Field("Tensor", "tensor.sum()", ("state.{name} * 0.5", "{p}.sum()")),
    Field("dict[str, Any]", "{{'a': 1}}", ("{{'a': t}}",)),
]


def drawn_text(rng: random.Random) -> str:
    """Return the text of a state and of an optimizer with it."""
    fields = {
        "t": Field("int", "0", ("t",)),
        "x": Field("float", "0.1", ("state.x * 0.9", "state.x", "lr", "state.x + t")),
        "on": Field("bool", "False", ("not state.on", "t > 1", "state.on")),
        "name": Field("str", "'a'", ("state.name", "'b' if t > 1 else 'a'")),
        "b": Field("Tensor | None", "None", ("None",)),
    }
    for i in range(rng.randint(0, 3)):
        fields[f"m{i}"] = rng.choice(TENSORS)
    if rng.random() < 0.3:
        fields["odd"] = rng.choice(ODD)
        if fields["odd"].hint == "Tensor | None":
            fields["b"] = fields.pop("odd")
    text = Text(rng)
    text.values += [f"state.{n}" for n, f in fields.items() if f in TENSORS]
    makers: list[Callable[[], None]] = [
        *[lambda: text.value(UNARY)] * 4,
        *[lambda: text.value(BINARY)] * 7,
        *[text.mask, text.widened, text.narrowed, text.branch],
        *[text.changed] * 2,
    ]
    if rng.random() < 0.15:
        makers += [lambda: text.value(AS_WRITTEN)] * 2
    for _ in range(rng.choice([1, 2, 4, 6, 9, 14])):
        rng.choice(makers)()
    return _classes(text, fields)


def _classes(text: Text, fields: dict[str, Field]) -> str:
    rng = text.rng
    ends = ["{a}", "tensor - lr * {a}", "tensor.sub({a}, alpha=lr)", "{a}.clone()"]
    result = text.filled(rng.choice(ends))
    state = []
    for name, kind in fields.items():
        p = text.filled("{a}")
        filled = rng.choice(kind.next).format(name=name, p=p, m=text.filled("{m}"))
        state.append(f"{name}={filled}")
    hints = "".join(f"    {name}: {f.hint}\n" for name, f in fields.items())
    first = ", ".join(f"{name}={f.init.format()}" for name, f in fields.items())
    body = "".join(f"        {line}\n" for line in text.lines)
    return (
        f"class State(Record):\n{hints}\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Drawn(SimpleOptimizer):\n"
        "    h0: float = 0.3\n    h1: int = 2\n    h2: bool = True\n\n"
        "    def init(self, tensor):\n"
        f"        return State({first})\n\n"
        "    def step(self, lr, tensor, grad, state):\n"
        f"        t = state.t + 1\n{body}"
        f"        return {result}, State({', '.join(state)})\n"
    )


class Inner(Record):
    """A record inside a state."""

    m: Tensor
    n: int


def optimizer_of(text: str) -> type[SimpleOptimizer[Any]]:
    """Return the optimizer that a drawn text defines."""
    scope: dict[str, Any] = {
        "Any": Any,
        "Inner": Inner,
        "Record": Record,
        "SimpleOptimizer": SimpleOptimizer,
        "Tensor": Tensor,
        "__name__": f"{__name__}.drawn{next(_NAMES)}",
        "dataclass": dataclass,
        "functional": functional,
        "math": math,
        "np": np,
        "random": random,
        "torch": torch,
    }
    exec(compile(text, "<drawn step>", "exec"), scope)
    optimizer: type[SimpleOptimizer[Any]] = scope["Drawn"]
    return optimizer
