"""What `from_record` may call to build a module."""

import inspect

from torch import nn


def check_callable(factory: object) -> None:
    """Raise TypeError for what builds no module when called without arguments."""
    if isinstance(factory, nn.Module):
        raise TypeError(
            f"from_record builds a new module, got a {type(factory).__name__} that is "
            "built already: fill it with burnish.load_record(module, file), or pass "
            "its class or a function without arguments"
        )
    if not callable(factory):
        raise TypeError(
            f"from_record: the first argument is a {type(factory).__name__}, expected "
            "a class or a function that builds the module, and then the file: "
            "from_record(lambda: Net(width=128), file)"
        )
    if not (isinstance(factory, type) and issubclass(factory, nn.Module)):
        return
    try:
        inspect.signature(factory).bind()
    except ValueError:
        return  # a constructor without a signature: calling it shows
    except TypeError as error:
        name = factory.__name__
        by_file = (
            f"{name}.from_record(file) takes them from the file; or "
            if hasattr(factory, "from_record")
            else ""
        )
        raise TypeError(
            f"{name} needs arguments ({error}): {by_file}pass a function without any, "
            f"as in from_record(lambda: {name}(...), file)"
        ) from None
