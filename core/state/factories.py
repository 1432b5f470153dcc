"""What `from_record` may call to build a module."""

import inspect

from torch import nn


def check_callable(factory: object) -> None:
    """Raise TypeError for a class that cannot be called without arguments."""
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
