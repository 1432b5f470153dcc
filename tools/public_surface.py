"""Write down what users may rely on: every public name with its signature.

`python tools/public_surface.py` renews `tests/data/public_surface.txt`; a change of the
file in a commit is a change of the contract, to be read as one.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent.parent / "tests/data/public_surface.txt"
PACKAGES = (
    "burnish",
    "burnish.config",
    "burnish.config.schema",
    "burnish.core",
    "burnish.core.blueprint",
    "burnish.optim",
    "burnish.optim.schedulers",
    "burnish.records",
    "burnish.train",
)
SPECIAL = {"__call__", "__getitem__", "__iter__", "__len__", "__enter__", "__exit__"}
"""Methods between underscores that are called by name or by a statement of users."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def surface() -> str:
    """Return a line for each public name of each package, and for each method."""
    return "".join(f"{line}\n" for name in PACKAGES for line in _package_lines(name))


def _package_lines(package: str) -> Iterator[str]:
    module = importlib.import_module(package)
    for name in module.__all__:
        yield from _lines(f"{package}.{name}", getattr(module, name))


def _lines(name: str, value: object) -> Iterator[str]:
    if inspect.isclass(value):
        yield from _class_lines(name, value)
    elif inspect.isfunction(value):
        yield from (f"{name}{text}" for text in _signatures(value))
    elif inspect.ismodule(value):
        yield f"{name}: module"
    else:
        yield f"{name}: {type(value).__name__}"


def _class_lines(name: str, cls: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    yield f"class {name}({bases})"
    members: dict[str, list[str]] = {}
    for base in reversed(cls.__mro__):
        node = _definition(base.__module__, base.__qualname__)
        if isinstance(node, ast.ClassDef):
            members |= _members(node)
    for member in sorted(members):
        yield from (f"    {line}" for line in members[member])


def _members(node: ast.ClassDef) -> dict[str, list[str]]:
    """Return the lines of the public fields, properties and methods of a class."""
    members: dict[str, list[str]] = {}
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            if _is_public(item.name):
                members.setdefault(item.name, []).append(_member(item))
        elif isinstance(item, ast.AnnAssign) and _is_public(ast.unparse(item.target)):
            members[ast.unparse(item.target)] = [ast.unparse(item)]
    return members


def _member(node: Function) -> str:
    marks = [ast.unparse(mark) for mark in node.decorator_list]
    told = [m for m in marks if m in {"property", "classmethod", "staticmethod"}]
    return " ".join([*told, node.name + _signature(node)])


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name in {"__init__", *SPECIAL}


def _signatures(function: object) -> Iterator[str]:
    """Return the text of the signature, once for each overload."""
    plain = inspect.unwrap(function)  # type: ignore[arg-type]  # a function
    module, name = plain.__module__, plain.__qualname__
    nodes = [node for node in _tree(module).body if getattr(node, "name", "") == name]
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _signature(node)


def _signature(node: Function) -> str:
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(node.args)}){returned}"


def _definition(module: str, qualname: str) -> ast.AST | None:
    if not module.startswith("burnish"):
        return None
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == qualname:
            return node
    return None


@cache
def _tree(module: str) -> ast.Module:
    file = importlib.import_module(module).__file__
    return ast.parse(Path(str(file)).read_text())


if __name__ == "__main__":
    FILE.write_text(surface())
