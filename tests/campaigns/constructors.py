"""Constructors by the thousand, built by hand and by blueprint, and configured.

python -m tests.campaigns.constructors [--n N] [--seed S]
"""

import argparse
import hashlib
import importlib.util
import inspect
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import BlueprintError

from .. import fresh_processes
from .forks import Outcomes, run_cases

GOOD = {"e": "equal", "r": "refused, by hand too"}

HEAD = """\
import copy
import functools
import torch
from torch import nn

import burnish


def applied(module, x):
    for part in module.children():
        if isinstance(part, nn.ModuleList):
            for item in part:
                x = item(x)
        elif isinstance(part, nn.ModuleDict):
            for item in part.values():
                x = item(x)
        else:
            x = part(x)
    return x


class Wrap(nn.Module):
    def __init__(self, inner, scale=0.5):
        super().__init__()
        self.inner = inner
        self.scale = scale

    def forward(self, x):
        return self.inner(x) * self.scale

"""


@dataclass
class Source:
    """Text of classes that is drawn, once for a blueprint and once to be edited."""

    rng: random.Random
    lines: list[str] = field(default_factory=list[str])
    classes: list[str] = field(default_factory=list[str])
    n_sites: int = 0

    def call(self, cls: str, *arguments: str) -> str:
        """Return the text that constructs a part; each such text is told apart."""
        self.n_sites += 1
        return f"PART({self.n_sites}, {', '.join([cls, *arguments])})"

    def text(self, *, is_edited: bool) -> str:
        """Return the module's text; edited, parts are made by a function ``PART``."""
        text = HEAD + "\n".join(self.lines) + "\n"
        if is_edited:
            return text
        for site in range(1, self.n_sites + 1):
            text = _called(text, f"PART({site}, ")
        return text


def _called(text: str, start: str) -> str:
    """Return ``text`` with ``PART(n, cls, a, b)`` as ``cls(a, b)``."""
    while (at := text.find(start)) >= 0:
        rest = text[at + len(start) :]
        end = min(i for i in (rest.find(","), rest.find(")")) if i >= 0)
        behind = rest[end:].removeprefix(",").lstrip(" ")
        text = f"{text[:at]}{rest[:end]}({behind}"
    return text


def draw_source(rng: random.Random) -> Source:
    """Return the text of a few classes, of which the last one uses the others."""
    source = Source(rng)
    for _ in range(rng.randint(1, 3)):
        _draw_helper(source)
        _draw_class(source)
    return source


def _draw_helper(source: Source) -> None:
    name = f"helper{len(source.classes)}"
    linear = source.call("nn.Linear", "width", "width", "bias=flag")
    norm = source.call("nn.LayerNorm", "width")
    ways = [
        [f"    return nn.Sequential({linear}, {norm})"],
        [
            f"    module = {linear}",
            "    module.weight.data.mul_(2)",
            "    return module",
        ],
        [f"    return {linear} if flag else {norm}"],
    ]
    source.lines += ["", f"def {name}(width, flag):", *source.rng.choice(ways), ""]


def _draw_class(source: Source) -> None:
    rng, name = source.rng, f"C{len(source.classes)}"
    owner = rng.choice([*source.classes, None, None])
    head = "width=4, depth=2, flag=True, act=nn.ReLU, *, block=None, **options"
    body = ["super().__init__()"]
    if owner is not None:
        words = "width, depth, flag=not flag, act=act"
        body = [f"super().__init__({words})"]
    body.append("kind = block or act")
    parts = _Parts(source, name.lower())
    for _ in range(rng.randint(2, 6)):
        body += rng.choice(_STATEMENTS)(parts)
    if rng.random() < 0.5:
        source.lines.append("@burnish.module")
    source.lines += [
        f"class {name}({owner or 'nn.Module'}):",
        "    SIZES = [3, 5]",
        "    ACT = nn.SiLU",
        "    n_runs = 0",
        "",
        "    @staticmethod",
        "    def sized(size, **words):",
        f"        return {source.call('nn.Linear', 'size', 'size', '**words')}",
        "",
        f"    def __init__(self, {head}):",
        *(f"        {line}" for line in body),
        "",
        "    def forward(self, x):",
        "        return applied(self, x)",
        "",
    ]
    source.classes.append(name)


@dataclass
class _Parts:
    """The parts of the class that is being drawn."""

    source: Source
    prefix: str
    linears: list[str] = field(default_factory=list[str])
    names: list[str] = field(default_factory=list[str])

    @property
    def rng(self) -> random.Random:
        return self.source.rng

    def name(self) -> str:
        self.names.append(f"{self.prefix}_{len(self.names)}")
        return self.names[-1]

    def linear(self, out: str = "width", of: str = "width") -> str:
        bias = self.rng.choice(["", "bias=flag", "bias=False"])
        return self.source.call("nn.Linear", of, out, *([bias] if bias else []))


def _linear(parts: _Parts) -> list[str]:
    call, name = parts.linear(), parts.name()
    parts.linears.append(name)
    return [f"self.{name} = {call}"]


def _small(parts: _Parts) -> list[str]:
    call = parts.source.call
    ways = [
        call("act"),
        call("nn.LayerNorm", "width"),
        call("nn.Dropout", "0.5"),
        call("nn.LayerNorm", "width", "elementwise_affine=flag"),
    ]
    return [f"self.{parts.name()} = {parts.rng.choice(ways)}"]


def _derived(parts: _Parts) -> list[str]:
    first, second = parts.name(), parts.name()
    size = parts.rng.choice(["self.SIZES[0]", "2 * width", "type(self).SIZES[-1]"])
    return [
        f"self.{first} = {parts.linear(out=size)}",
        f"self.{second} = {parts.linear(of=f'self.{first}.out_features')}",
    ]


def _child(parts: _Parts) -> list[str]:
    if not parts.source.classes:
        return _linear(parts)
    cls = parts.rng.choice(parts.source.classes)
    options = parts.rng.choice(
        [["width"], ["width", "1", "not flag"], ["width=width", "act=act"], ["width=4"]]
    )
    if options == ["width=4"]:
        options = ["width", "**options"]
    return [f"self.{parts.name()} = {parts.source.call(cls, *options)}"]


def _conditional(parts: _Parts) -> list[str]:
    lines = [] if parts.linears else _linear(parts)
    of, name = parts.rng.choice(parts.linears), parts.name()
    lines += [
        f"if self.{of}.bias is not None:",
        f"    self.{name} = {parts.linear()}",
        f"    self.{name}_b = {parts.source.call('nn.Tanh')}",
    ]
    if parts.rng.random() < 0.5:
        lines += ["else:", f"    self.{name} = {parts.source.call('nn.Identity')}"]
    return lines


def _shared(parts: _Parts) -> list[str]:
    lines = [] if parts.linears else _linear(parts)
    of = parts.rng.choice(parts.linears)
    text = parts.rng.choice([f"self.{of}", f"copy.deepcopy(self.{of})"])
    return [*lines, f"self.{parts.name()} = {text}"]


def _tied(parts: _Parts) -> list[str]:
    lines = [] if parts.linears else _linear(parts)
    of = parts.rng.choice(parts.linears)
    lines += _linear(parts)
    return [*lines, f"self.{parts.linears[-1]}.weight = self.{of}.weight"]


def _loop(parts: _Parts) -> list[str]:
    name, item = parts.name(), parts.linear()
    append = f"    self.{name}.append({item})"
    ways = [
        [f"self.{name} = nn.Sequential(*[{item} for _ in range(depth)])"],
        [f"self.{name} = nn.ModuleList({item} for _ in range(depth))"],
        [f"self.{name} = nn.ModuleList()", "for _ in range(depth):", append],
        [f"self.{name} = nn.Sequential()", "for _ in range(depth):", append],
        [
            f"self.{name} = nn.ModuleDict()",
            "for i in range(depth):",
            f"    self.{name}[f'k{{i}}'] = {item}",
        ],
        ["for i in range(depth):", f"    setattr(self, f'{name}_{{i}}', {item})"],
        ["for i in range(depth):", f"    self.add_module(f'{name}_{{i}}', {item})"],
        [f"self.{name} = nn.ModuleList([{item}] * depth)"],
    ]
    return parts.rng.choice(ways)


def _replaced(parts: _Parts) -> list[str]:
    name, lists = parts.name(), parts.name()
    call = parts.source.call
    first, second = parts.linear(), parts.linear()
    ways = [
        [f"self.{name} = {first}", f"self.{name} = {second}"],
        [f"self.{name} = {first}", f"del self.{name}"],
        [
            f"self.{lists} = nn.Sequential({first}, {second})",
            f"self.{lists}[0] = {call('nn.Identity')}",
        ],
        [
            f"self.{lists} = nn.ModuleList([{first}])",
            f"self.{lists}.insert(0, {second})",
        ],
        [
            f"self.{lists} = nn.Sequential({first}, {second})",
            f"self.{lists}.pop(0)",
        ],
    ]
    return parts.rng.choice(ways)


def _class_state(parts: _Parts) -> list[str]:
    ways = [
        ["type(self).n_runs += 1"],
        [f"self.{parts.name()} = {parts.linear(out='len(self.SIZES) + width - 2')}"],
        ["self.rank = len(self.SIZES)", "self.sizes = list(type(self).SIZES)"],
    ]
    return parts.rng.choice(ways)


def _helped(parts: _Parts) -> list[str]:
    n = parts.rng.randrange(len(parts.source.classes) + 1)
    call = parts.source.call
    ways = [
        f"helper{n}(width, flag)",
        f"helper{n}(width, False)",
        f"(lambda size: {parts.linear(of='size')})(width)",
        f"functools.partial(helper{n}, flag=flag)(width)",
        f"nn.Sequential(*map(lambda size: {parts.linear(of='size')}, [width] * 2))",
        call("kind"),
    ]
    return [f"self.{parts.name()} = {parts.rng.choice(ways)}"]


def _odd(parts: _Parts) -> list[str]:
    call, name, other = parts.source.call, parts.name(), parts.name()
    lines = [] if parts.linears else _linear(parts)
    of = parts.rng.choice(parts.linears)
    index = parts.linear().replace("flag", "bool(i % 2)")
    ways = [
        [f"self.{name} = {call('self.ACT')}"],
        [f"self.{name} = self.sized(width, bias=flag)"],
        [
            "items = []",
            "for i in range(depth):",
            f"    items.append({index})",
            f"self.{name} = nn.Sequential(*items)",
        ],
        [
            f"self.{name} = nn.ModuleList()",
            "for i in range(depth + 1):",
            "    if i % 2:",
            f"        self.{name}.append({index})",
            "    else:",
            f"        self.{name}.append({call('act')})",
        ],
        [
            f"items = {{'a': {parts.linear()}, 'b': {call('act')}}}",
            f"self.{name} = nn.ModuleDict(items)",
            f"self.{other} = items['a']",
        ],
        [f"self.{name} = {call('nn.Linear', f'self.{of}.weight.shape[0]', 'width')}"],
        [f"unused = {parts.linear()}", f"self.hidden_{name} = [{parts.linear()}]"],
        ["first = next(iter(self.children()))", f"self.{name} = first"],
        [
            "first = next(iter(self.named_children()))[0]",
            f"setattr(self, first, {parts.linear()})",
        ],
        [
            "first = next(iter(self.children()))",
            "for inner, _ in list(first.named_children())[:1]:",
            f"    setattr(first, inner, {call('act')})",
        ],
        ["first = list(self.modules())[-1]", f"self.{name} = first"],
        [f"self.weight_of_{name} = self.{of}.weight"],
        [f"if len(self.{of}.state_dict()) > 1:", f"    self.{name} = {parts.linear()}"],
        [
            f"while len(list(self.children())) < {parts.rng.randint(2, 6)}:",
            f"    at = f'more_{name}_{{len(self._modules)}}'",
            f"    self.add_module(at, {call('act')})",
        ],
        [f"if isinstance({call('act')}, nn.ReLU):", f"    self.{name} = {call('act')}"],
        ["with torch.no_grad():", f"    self.{of}.weight.mul_(torch.rand(()) + 1)"],
    ]
    return [*lines, *parts.rng.choice(ways)]


def _values(parts: _Parts) -> list[str]:
    name = parts.name()
    lines = [] if parts.linears else _linear(parts)
    of = parts.rng.choice(parts.linears)
    ways = [
        [f"self.register_buffer('{name}', torch.arange(width))"],
        [f"self.{name} = nn.Parameter(torch.randn(width))"],
        [f"nn.init.normal_(self.{of}.weight, std=0.02)"],
        [f"self.{of}.weight.requires_grad_(False)"],
        ["self.apply(lambda m: m.register_buffer('mark', torch.ones(1)))"],
        [f"self.{of}.eval()"],
        [f"nn.utils.parametrizations.weight_norm(self.{of})"],
    ]
    chosen = parts.rng.choice(ways)
    if "weight_norm" in chosen[0]:
        # Its weight is a tensor then, which no tie of another statement may take.
        parts.linears.remove(of)
    return [*lines, *chosen]


def _passed(parts: _Parts) -> list[str]:
    call, name, other = parts.source.call, parts.name(), parts.name()
    ways = [
        [f"self.{name} = {call('Wrap', parts.linear())}"],
        [
            f"self.{other} = {parts.linear()}",
            f"self.{name} = {call('Wrap', f'self.{other}', 'scale=2')}",
        ],
        [f"self.{name} = {call('Wrap', call('Wrap', parts.linear()), '3.0')}"],
    ]
    return parts.rng.choice(ways)


_Statement = Callable[[_Parts], list[str]]

_STATEMENTS: list[_Statement] = [
    _linear,
    _small,
    _derived,
    _child,
    _child,
    _conditional,
    _shared,
    _tied,
    _loop,
    _loop,
    _replaced,
    _class_state,
    _helped,
    _values,
    _passed,
    _odd,
    _odd,
    _odd,
]

Key = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Edit:
    """What one call of ``configure`` asks for."""

    target: str
    arguments: Mapping[str, Any]
    cls: type[nn.Module] | None = None

    def applies_to(self, paths: Sequence[str]) -> bool:
        """Return whether a part at ``paths`` is meant."""
        return any(_matches(path, self.target) for path in paths)


def _matches(path: str, target: str) -> bool:
    if not target.startswith("**."):
        return path == target
    return fnmatchcase(path.rpartition(".")[2], target[3:])


@dataclass
class Hand:
    """A constructor's run in which each part is made as edits of the text would."""

    edits: Mapping[Key, Sequence[Edit]]
    stack: list[tuple[Key, Counter[int]]] = field(
        default_factory=lambda: [((), Counter[int]())]
    )
    parts: list[tuple[Key, nn.Module]] = field(
        default_factory=list[tuple[Key, nn.Module]]
    )

    def part(self, site: int, cls: Any, *args: Any, **kwargs: Any) -> nn.Module:
        """Return the part that the text at ``site`` makes, edited."""
        above, counts = self.stack[-1]
        key = (*above, (site, counts[site]))
        counts[site] += 1
        for edit in self.edits.get(key, ()):
            cls, args, kwargs = _edited(cls, args, kwargs, edit)
        self.stack.append((key, Counter()))
        module: nn.Module = cls(*args, **kwargs)
        self.stack.pop()
        self.parts.append((key, module))
        return module


def _edited(
    cls: Any, args: Any, kwargs: dict[str, Any], edit: Edit
) -> tuple[Any, Any, dict[str, Any]]:
    if edit.cls is not None:
        cls, args, kwargs = edit.cls, (), {}
    named = dict(zip(inspect.signature(cls).parameters, args, strict=False))
    return cls, (), {**named, **kwargs, **edit.arguments}


def by_hand(
    text: ModuleType, root: str, arguments: Mapping[str, Any], edits: Sequence[Edit]
) -> tuple[nn.Module, torch.Tensor, list[tuple[tuple[str, ...], nn.Module]]]:
    """Return the module with ``edits`` at the parts that they mean in the end.

    Edits change what is made, and so where others apply: it is run until it settles.
    """
    planned: dict[Key, list[Edit]] = {}
    for _ in range(12):
        hand = Hand(planned)
        vars(text)["PART"] = hand.part
        torch.manual_seed(7)
        module = hand.part(0, getattr(text, root), **arguments)
        rng = torch.get_rng_state()
        places = _places(module)
        parts = [(places.get(id(m), ()), m) for _, m in hand.parts]
        found = {
            key: [e for e in edits if e.applies_to(paths)]
            for (key, _), (paths, _) in zip(hand.parts, parts, strict=True)
        }
        found = {key: those for key, those in found.items() if those}
        if found == planned:
            return module, rng, parts
        planned = found
    raise ValueError("the edits do not settle")


def _places(module: nn.Module) -> dict[int, tuple[str, ...]]:
    places: dict[int, tuple[str, ...]] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        places[id(part)] = (*places.get(id(part), ()), path)
    return places


def description(module: nn.Module) -> list[str]:
    """Return all that is to be equal: parts, flags, sharing, values and the result."""
    lines = list[str]()
    first: dict[int, str] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        same = first.setdefault(id(part), path)
        lines.append(f"{path}: {part!r} {part.training} is {same!r}")
    tensors = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    for path, tensor in tensors:
        same = first.setdefault(id(tensor), path)
        memory = first.setdefault(tensor.untyped_storage().data_ptr(), path)
        values = hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()[:16]
        flags = f"{type(tensor).__name__} {tensor.requires_grad} {tensor.dtype}"
        lines.append(f"{path}: {flags} {values} is {same} in {memory}")
    return [*lines, _result(module)]


def _result(module: nn.Module) -> str:
    torch.manual_seed(3)
    try:
        y = module(torch.linspace(-1, 1, 8).reshape(2, 4))
    except (RuntimeError, TypeError, NotImplementedError) as error:
        return f"raises {type(error).__name__}"
    return hashlib.sha256(y.detach().numpy().tobytes()).hexdigest()


def draw_edit(
    rng: random.Random, parts: list[tuple[tuple[str, ...], nn.Module]]
) -> Edit | None:
    """Return a call of ``configure`` for one of the parts that have a path."""
    options = [
        (rng.choice(paths), part)
        for paths, part in parts
        if paths and _arguments_of(part)
    ]
    if not options:
        return None
    path, part = rng.choice(options)
    if rng.random() < 0.2 and not path[path.rfind(".") + 1 :].isdecimal() and path:
        path = f"**.{path.rpartition('.')[2]}"
    if rng.random() < 0.2 and isinstance(part, _PLAIN):
        return Edit(path, {}, rng.choice(_PLAIN))
    name, values = rng.choice(list(_arguments_of(part).items()))
    return Edit(path, {name: rng.choice(values)})


def _arguments_of(part: nn.Module) -> dict[str, list[Any]]:
    name = type(part).__name__
    return _ARGUMENTS.get(type(part)) or _OF_DRAWN.get(name[:1], {})


_OF_DRAWN: dict[str, dict[str, list[Any]]] = {
    "C": {"depth": [0, 1, 3], "flag": [True, False], "act": [nn.Tanh, nn.GELU]},
    "W": {"scale": [0.1, 2]},
}

_PLAIN = (nn.ReLU, nn.Tanh, nn.Identity, nn.GELU)

_ARGUMENTS: dict[type[nn.Module], dict[str, list[Any]]] = {
    nn.Linear: {"bias": [True, False], "out_features": [4, 4, 6]},
    nn.LayerNorm: {"eps": [0.1], "elementwise_affine": [True, False]},
    nn.Dropout: {"p": [0.0, 0.9], "inplace": [True]},
    nn.ReLU: {"inplace": [True]},
    nn.GELU: {"approximate": ["tanh"]},
}


def imported(name: str, text: str, folder: Path) -> ModuleType:
    """Return the module of ``text``, from a file, under its name."""
    file = folder / f"{name}.py"
    file.write_text(text)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def problem(seed: int, number: int, folder: Path) -> str:
    """Return where a drawn constructor's blueprint differs from the hand; or ""."""
    rng = random.Random(f"{seed} {number}")
    source = draw_source(rng)
    name, root = f"drawn_{seed}_{number}", source.classes[-1]
    text = imported(f"{name}_hand", source.text(is_edited=True), folder)
    cls = getattr(imported(name, source.text(is_edited=False), folder), root)
    arguments = dict(rng.choice(_ROOT_ARGUMENTS))
    module, rng_state, parts = by_hand(text, root, arguments, [])
    blueprint = Blueprint(cls, **arguments)
    found = _differs(blueprint, module, rng_state)
    edits = list[Edit]()
    for _ in range(rng.randint(0, 4)):
        edit = None if found else draw_edit(rng, parts)
        if edit is None:
            break
        found, parts = _configured(blueprint, edit, edits, text, root, arguments, parts)
    if not found:
        _store(blueprint, folder / f"{name}.json")
    return found and f"{name}: {edits}\n{found}"


_ROOT_ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"depth": 3},
    {"flag": False, "act": nn.GELU},
    {"block": nn.Tanh},
    {"depth": 0},
]


def _configured(
    blueprint: Blueprint[Any],
    edit: Edit,
    edits: list[Edit],
    text: ModuleType,
    root: str,
    arguments: Mapping[str, Any],
    parts: Any,
) -> tuple[str, Any]:
    """Configure, and return what differs; ``edits`` are those that were taken."""
    outcome: Any = None
    problem_by_hand = ""
    try:
        outcome = by_hand(text, root, arguments, [*edits, edit])
    except (TypeError, RuntimeError, ValueError, AttributeError) as error:
        problem_by_hand = f"{type(error).__name__}: {error}"
    given = () if edit.cls is None else (edit.cls,)
    act = blueprint.replace if edit.cls is not None else blueprint.configure
    try:
        act(edit.target, *given, **edit.arguments)
    except (BlueprintError, TypeError) as error:
        # Of copies, which are constructed once, one alone cannot be another; and what
        # Identity takes and never looks at is not an argument of it.
        reasons = ("are copies of one module", "its constructor never reads **kwargs")
        if any(reason in str(error) for reason in reasons):
            return "", parts
        return "" if problem_by_hand else f"{edit} is refused: {error}", parts
    edits.append(edit)
    if problem_by_hand:
        return f"{edit} is taken, by hand {problem_by_hand}", parts
    module, rng_state, new_parts = outcome
    return _differs(blueprint, module, rng_state), new_parts


def _differs(
    blueprint: Blueprint[Any], module: nn.Module, rng_state: torch.Tensor
) -> str:
    torch.manual_seed(7)
    made = blueprint.create()
    drawn_alike = torch.equal(torch.get_rng_state(), rng_state)
    for a, b in _pairs(description(module), description(made)):
        if a != b:
            return f"by hand {a}\nblueprint {b}"
    return "" if drawn_alike else "other numbers were drawn"


def _pairs(a: list[str], b: list[str]) -> Iterator[tuple[str, str]]:
    n = max(len(a), len(b))
    yield from zip(
        a + ["nothing"] * (n - len(a)), b + ["nothing"] * (n - len(b)), strict=True
    )


def _store(blueprint: Blueprint[Any], file: Path) -> None:
    torch.manual_seed(7)
    lines = description(blueprint.create())
    data = json.loads(json.dumps(blueprint.to_dict()))
    cls = type(blueprint.create()).__name__
    file.write_text(json.dumps({"cls": cls, "data": data, "lines": lines}))


def reopened(files: Sequence[Path]) -> list[str]:
    """Return the names of the stored blueprints that make another module here."""
    other = list[str]()
    for file in files:
        stored = json.loads(file.read_text())
        text = file.with_suffix(".py").read_text()
        cls = getattr(imported(file.stem, text, file.parent), stored["cls"])
        blueprint = Blueprint.from_dict(stored["data"], cls)
        torch.manual_seed(7)
        if description(blueprint.create()) != stored["lines"]:
            other.append(file.stem)
    return other


def case(seed: int, folder: Path, number: int) -> str:
    """Return the letter of one drawn constructor."""
    try:
        found = problem(seed, number, folder)
    except Exception as error:  # whatever it is, it is a defect
        found = f"{number}: {type(error).__name__}: {error}"
    if found:
        print(found, file=sys.stderr, flush=True)
    return "x" if found else "e"


def constructors(n: int, seed: int) -> tuple[dict[str, int | float], Outcomes]:
    """Return how ``n`` drawn constructors ended, reopened by another process too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outcomes = run_cases(partial(case, seed, folder), range(n), GOOD, seconds=60)
        files = sorted(folder.glob("*.json"))
        done = fresh_processes.run("-m", __spec__.name, "--reopen", name)
    figures: dict[str, int | float] = {"constructors": n, **outcomes.counts}
    figures["reopened in another process"] = len(files)
    if done.returncode:
        outcomes.defects["reopened"] = [0]
        print(done.stdout + done.stderr, file=sys.stderr)
    return figures, outcomes


def main() -> int:
    """Run, print the figures, and return 1 if there was a defect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reopen", type=Path, help="a folder of stored blueprints")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.reopen is not None:
        other = reopened(sorted(options.reopen.glob("*.json")))
        print("\n".join(other))
        return int(bool(other))
    figures, outcomes = constructors(options.n, options.seed)
    print(figures, outcomes.defects)
    return int(bool(outcomes.defects))


if __name__ == "__main__":
    raise SystemExit(main())
