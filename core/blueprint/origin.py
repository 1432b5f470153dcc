"""The blueprint that a module was built from, kept by the module."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from ..checkpoints import keep_blueprint
from ..plain import BLUEPRINT, ORIGIN

if TYPE_CHECKING:
    from .blueprint import Blueprint


class Origin:
    """A blueprint that does not change; it is pickled as data, or left out."""

    def __init__(self, blueprint: "Blueprint[Any]") -> None:
        self.blueprint: Blueprint[Any] | None = blueprint

    def told(self, *, is_call_known: bool) -> dict[str, Any]:
        """Return what hyperparameters tell of it: nothing if a call tells it all."""
        if self.blueprint is None or (
            is_call_known and not self.blueprint._is_changed()
        ):
            return {}
        return {BLUEPRINT: self.blueprint.to_dict()}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Origin":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.blueprint is None:
            return (_lost, ())
        try:
            data = self.blueprint.to_dict()
        except TypeError:
            return (_lost, ())
        return (_from_pickle, (self.blueprint.__reduce__()[1][0], data))


def sign(module: nn.Module, blueprint: "Blueprint[Any]") -> None:
    """Let ``module`` keep the ``blueprint`` it was built from, which nobody changes."""
    module.__dict__[ORIGIN] = origin = Origin(blueprint)
    keep_blueprint(module, origin)


def blueprint_of(module: nn.Module) -> "Blueprint[Any] | None":
    """Return a blueprint of what ``module`` was built from, None if it was not."""
    origin = module.__dict__.get(ORIGIN)
    if not isinstance(origin, Origin) or origin.blueprint is None:
        return None
    return origin.blueprint.new()


def _lost() -> Origin:
    origin = Origin.__new__(Origin)
    origin.blueprint = None
    return origin


def _from_pickle(cls: type[nn.Module], data: Mapping[str, Any]) -> Origin:
    from .blueprint import Blueprint

    return Origin(Blueprint.from_dict(data, cls))
