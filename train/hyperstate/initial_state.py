"""The function that makes the state with which a run begins."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_origin

from ...config.short_text import with_article

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class InitialState(Generic[S]):
    """Calls the user's function, and checks what it returns."""

    function: Callable[..., S]
    """Takes a config, or a config and ``ctx``."""
    cls: type[S]
    ctx: dict[str, Any]

    def __call__(self, config: Any) -> S:
        """Return the state that a run begins with. TypeError for another class."""
        state = self._call(config)
        expected = get_origin(self.cls) or self.cls
        if not isinstance(state, expected):
            raise TypeError(
                f"{getattr(self.function, '__qualname__', 'initial_state')} returned "
                f"{with_article(type(state).__qualname__)}, expected "
                f"{with_article(expected.__qualname__)}, the State of "
                "HyperState.load(Config, State, begin)"
            )
        return state

    def _call(self, config: Any) -> S:
        try:
            inspect.signature(self.function).bind(config, self.ctx)
        except TypeError:
            return self.function(config)
        return self.function(config, self.ctx)
