"""What a module was made of, as a JSON-ready dict with the same of its children.

The dict has the class (``__module__``, ``__name__``), every argument of the
constructor, defaults filled, and every direct child: a dict, a list of dicts for
``Sequential`` and ``ModuleList``, a dict of dicts for ``ModuleDict``.
"""

from torch import nn

from ..errors import HyperparameterError
from ..modules.classes import declared_class, is_decorated
from ..modules.module_argument import check_module
from ..modules.tree import unwrapped
from .hparams_dict import HparamsDict
from .hparams_writer import Writer
from .known_arguments import known_arguments
from .plain import ORIGIN
from .unstored import NOT_CAPTURED


def get_hparams(
    module: nn.Module, *, extended: bool = False, bare: bool = False
) -> HparamsDict:
    """Return the hyperparameters of ``module``, from which an equal one can be built.

    Known are decorated classes, every layer of ``torch.nn``, those that
    `register_hparams` was told of, and modules with a mapping in ``hparams``.
    ``extended`` adds the computed fields of ``Hparams``, and under ``__children__``
    the children that have the name of an argument; ``bare`` leaves out the children
    of a module that is made of plain data alone.  Raises NotImplementedError for
    another class, and TypeError that names the argument for what is no plain data.
    """
    check_module(module, "get_hparams")
    module = unwrapped(module)
    cls = declared_class(type(module))
    if known_arguments(module, cls) is None and ORIGIN not in module.__dict__:
        raise NotImplementedError(_unknown(cls))
    try:
        return Writer(extended, bare=bare).node(module, "")
    except RecursionError:
        raise HyperparameterError("", "nested too deep to be told") from None


def hparams_of(module: nn.Module) -> HparamsDict:
    """Return what `get_hparams` does: what the property ``hparams`` is."""
    return get_hparams(module)


def _unknown(cls: type[nn.Module]) -> str:
    if cls.__module__.startswith("torch.jit."):
        return (
            f"a {cls.__name__} is compiled code that does not know what it was made "
            "of. Ask the module that was compiled: get_hparams(net) before "
            "torch.jit.script(net)."
        )
    if is_decorated(cls):
        return f"this {cls.__qualname__} {NOT_CAPTURED}. Build it anew to know them."
    return (
        f"the hyperparameters of {cls.__module__}.{cls.__qualname__} are not known. "
        "Decorate the class with @burnish.module before building it, or tell them "
        "with burnish.register_hparams(cls, getter)."
    )
