"""A blueprint as text, as torch prints modules: only what was given is shown."""

from torch import nn

from ..hyperparameters.signature import VARIADIC, parameters_of
from .arguments import missing
from .draft import Draft
from .entry import Call, short
from .errors import BlueprintError
from .made import Made
from .selecting import children


def shown(draft: Draft, path: str) -> str:
    """Return the tree at ``path`` as it would be built; equal neighbours are one line.

    Where the constructors raise, the text says so: debuggers show it unasked.
    """
    try:
        draft.refresh()
    except BlueprintError as error:
        lines = str(error).splitlines() or [""]
        return f"{_tree(draft, path)}\n(cannot be built: {lines[0]})"
    return _tree(draft, path)


def _tree(draft: Draft, path: str) -> str:
    lines = _lines(draft, list(draft.places), path)
    calls = [e for e in draft.entries if isinstance(e, Call) and not path]
    # What these configure holds for one build each, and is not in the tree.
    lines += [f"(before build: {c})" for c in calls if c.moment == "before_build"]
    return "\n".join(lines)


def told(made: Made) -> str:
    """Return the class and the arguments that were given: ``Linear(3, 4)``."""
    parameters = parameters_of(made.cls)
    words: list[str] = []
    for name, value in made.arguments.items():
        kind = parameters[name].kind if name in parameters else None
        if kind in VARIADIC and isinstance(value, tuple | list):
            words += [short(item) for item in value]
        elif kind in VARIADIC and isinstance(value, dict):
            words += [f"{n}={short(item)}" for n, item in value.items()]
        else:
            words.append(f"{name}={short(value)}")
    words += [f"{name}=?" for name in made.missing if name not in made.arguments]
    if not made.paths:
        words += [f"{n}=?" for n in missing(made.cls, made.arguments)]
    if issubclass(made.cls, nn.ModuleList | nn.ModuleDict | nn.Sequential):
        return made.cls.__qualname__
    return f"{made.cls.__qualname__}({', '.join(words)})"


def _lines(draft: Draft, tree: list[str], path: str) -> list[str]:
    made = draft.places.get(path)
    head = "?" if made is None else told(made)
    lines = [head]
    groups: list[tuple[list[str], list[str]]] = []
    for kid in children(tree, path):
        name, inside = kid.rpartition(".")[2], _lines(draft, tree, kid)
        is_equal = bool(groups) and groups[-1][1] == inside
        if is_equal and name.isdecimal() and groups[-1][0][-1].isdecimal():
            groups[-1][0].append(name)
        else:
            groups.append(([name], inside))
    for names, inside in groups:
        n = f"{len(names)} x " if len(names) > 1 else ""
        span = names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"
        lines.append(f"  ({span}): {n}{inside[0]}")
        lines += [f"  {line}" for line in inside[1:]]
    return lines
