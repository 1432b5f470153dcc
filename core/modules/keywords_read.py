"""How a constructor uses its ``**kwargs``, as far as its code shows."""

import ast
import dis
import inspect
import textwrap
import types
from typing import Any

from torch import nn

from ...config.process.interrupts import raise_of_signal
from .classes import by_class

_LOOKUPS = ("get", "pop", "setdefault")
_FRAME_READERS = frozenset(
    {
        *("locals", "vars", "dir", "eval", "exec"),
        *("currentframe", "_getframe", "stack", "save_hyperparameters"),
    }
)
"""Functions that read the variables of their caller implicitly."""


@by_class
def keywords_read(cls: type[nn.Module]) -> frozenset[str] | None:
    """Return the names that ``cls.__init__`` looks up in its ``**kwargs``.

    It ignores all others. None if it may use any: it passes them on, iterates over
    them, or its code does not show.
    """
    init = _as_written(cls.__init__)
    if init is None or not init.__code__.co_flags & inspect.CO_VARKEYWORDS:
        return None
    code = init.__code__
    if not _FRAME_READERS.isdisjoint(code.co_names):
        return None
    position = code.co_argcount + code.co_kwonlyargcount
    position += bool(code.co_flags & inspect.CO_VARARGS)
    name = code.co_varnames[position]
    return _looked_up(init, name) if _is_mentioned(code, name) else frozenset()


def _as_written(init: Any) -> types.FunctionType | None:
    """Return ``init`` without this library's wrapper; None for other wrappers."""
    while hasattr(init, "__wrapped__"):
        package = getattr(init, "__globals__", {}).get("__name__", "")
        # Another library's wrapper of a constructor may read the arguments.
        if package.partition(".")[0] != __name__.partition(".")[0]:
            return None
        init = init.__wrapped__
    return init if isinstance(init, types.FunctionType) else None


def _is_mentioned(code: types.CodeType, name: str) -> bool:
    if name in code.co_cellvars:
        return True
    values = (step.argval for step in dis.get_instructions(code))
    return any(v == name or (isinstance(v, tuple) and name in v) for v in values)


def _looked_up(init: types.FunctionType, name: str) -> frozenset[str] | None:
    """Return the keys by which ``init`` accesses ``name``; None if it does more."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(init)))
    except (OSError, SyntaxError, TypeError) as error:
        raise_of_signal(error)
        return None
    parents = {
        below: node for node in ast.walk(tree) for below in ast.iter_child_nodes(node)
    }
    keys: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name:
            key = _key_of(node, parents)
            if key is None:
                return None
            keys.add(key)
    return frozenset(keys) if keys else None


def _key_of(node: ast.Name, parents: dict[ast.AST, ast.AST]) -> str | None:
    """Return the key in ``kwargs["key"]``, ``kwargs.get("key")``, ``"key" in kwargs``.

    None if ``node``, the kwargs, is used in another way.
    """
    parent = parents.get(node)
    key: ast.AST | None = None
    match parent:
        case ast.Attribute(attr=method) if method in _LOOKUPS:
            call = parents.get(parent)
            if isinstance(call, ast.Call) and call.func is parent and call.args:
                key = call.args[0]
        case ast.Subscript(value=value, slice=index) if value is node:
            key = index
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()]):
            key = left
        case _:
            pass
    is_text = isinstance(key, ast.Constant) and isinstance(key.value, str)
    return str(key.value) if is_text and isinstance(key, ast.Constant) else None
