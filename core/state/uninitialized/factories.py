"""The callables that `from_record` may use to build a module."""

import inspect
import os
from typing import Any

from torch import nn

from ....config.short_text import with_article


def check_callable(factory: object) -> None:
    """Raise TypeError unless the argument builds a module when called without any."""
    if isinstance(factory, nn.Module):
        raise TypeError(
            "from_record builds a new module, got "
            f"{with_article(type(factory).__name__)} that is already built: fill it "
            "with burnish.load_record(module, file), or pass its class or a function "
            "without arguments"
        )
    if not callable(factory):
        raise TypeError(
            "from_record: the first argument is "
            f"{with_article(type(factory).__name__)}, expected a class or a function "
            "that builds the module, and then the file: from_record(lambda: "
            "Net(width=128), file)"
        )
    if not (isinstance(factory, type) and issubclass(factory, nn.Module)):
        return
    try:
        inspect.signature(factory).bind()
    except ValueError:
        return  # a constructor without a signature: only calling it can tell
    except TypeError as error:
        name = factory.__name__
        by_file = (
            f"{name}.from_record(file) reads them from the file; or "
            if hasattr(factory, "from_record")
            else ""
        )
        raise TypeError(
            f"{name} needs arguments ({error}): {by_file}pass a function without "
            f"arguments, as in from_record(lambda: {name}(...), file)"
        ) from None


def constructor_takes(cls: object, argument: str) -> bool:
    """Return whether ``cls`` is a class whose constructor has this argument."""
    if not isinstance(cls, type):
        return False
    try:
        return argument in inspect.signature(cls).parameters
    except ValueError:
        return False


def arguments_go_to_lambda(args: tuple[object, ...], keyword: str) -> str | None:
    """Explain how to pass ``keyword``, an argument of the class in ``args``."""
    callee = args[0] if args else None
    cls = type(callee) if isinstance(callee, nn.Module) else callee
    if not (isinstance(cls, type) and constructor_takes(cls, keyword)):
        return None
    name = cls.__qualname__
    calls = f"burnish.from_record(lambda: {name}({keyword}=...), file)"
    if hasattr(cls, "from_record"):
        calls += f", or {name}.from_record(file, {keyword}=...)"
    return f"It is an argument of {name}: {calls}."


def arguments_go_to_file(args: tuple[Any, ...], keyword: str) -> str | None:
    """Explain how to pass ``keyword``, an argument of the class after the folder."""
    if len(args) < 2:
        return None
    folder, cls = args[:2]
    if not (isinstance(cls, type) and constructor_takes(cls, keyword)):
        return None
    name = cls.__qualname__
    file = os.path.join(os.fsdecode(folder), "model.safetensors")
    if not hasattr(cls, "from_record"):
        return f"It is an argument of {name}: edit it in the folder's config.json."
    return (
        f"It is an argument of {name}, and config.json holds it. To use another "
        f"value: {name}.from_record({file!r}, {keyword}=...)."
    )
