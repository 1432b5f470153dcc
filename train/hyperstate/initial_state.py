"""The state that a run has at first: made by a function, or read from a checkpoint."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, TypeVar, get_origin

from ...config.short_text import with_article
from .beginning import Beginning
from .state_folder import read_state
from .stored_files import StoredFiles

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

    def state_of(
        self,
        beginning: Beginning[Any],
        files: StoredFiles | None,
        *,
        ignore_extra: bool,
        hyperparameters: Literal["compare", "ignore"] | None,
    ) -> S:
        """Return the state in ``files``, or the one that a run begins with."""
        if files is None:
            return self(beginning.config)
        stored_config = beginning.stored_config
        return read_state(
            files,
            self.cls,
            beginning.config,
            partial(self, beginning.config),
            self.ctx,
            ignore_extra=ignore_extra,
            hyperparameters=hyperparameters,
            begin_before=(
                None if stored_config is None else partial(self, stored_config)
            ),
        )

    def _call(self, config: Any) -> S:
        try:
            inspect.signature(self.function).bind(config, self.ctx)
        except TypeError:
            return self.function(config)
        return self.function(config, self.ctx)
