"""Choice: what of the modules of a run is saved."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ...config.patterns import Patterns, matchers
from ...config.spelling import did_you_mean

PatternsOfParts: TypeAlias = Patterns | Mapping[str, Patterns]
"""Patterns of paths in every module, or in each module by the name of its part."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Patterns of what is saved of modules, as `save_record` takes them.

    Raises ValueError or TypeError for a pattern that is malformed.
    """

    only: PatternsOfParts | None = None
    exclude: PatternsOfParts | None = None

    def __post_init__(self) -> None:
        for _, patterns in self._options():
            by_part = patterns if isinstance(patterns, Mapping) else {"": patterns}
            for pattern in by_part.values():
                matchers(pattern)

    def of(self, part: str) -> tuple[Patterns | None, Patterns | None]:
        """Return ``only`` and ``exclude`` of one part."""
        return _of(self.only, part), _of(self.exclude, part)

    def check(self, modules: Collection[str]) -> None:
        """Raise ValueError for patterns of what is none of ``modules``."""
        for option, patterns in self._options():
            if not isinstance(patterns, Mapping):
                if not modules:
                    raise ValueError(
                        f"{option}={patterns!r} selects tensors of modules, but none "
                        "of the parts is a module"
                    )
                continue
            for name in patterns:
                if name not in modules:
                    raise ValueError(
                        f"{option}= names {name!r}, which is not a module among the "
                        f"parts.{did_you_mean(name, modules)}"
                    )

    def _options(self) -> list[tuple[str, PatternsOfParts]]:
        options = (("only", self.only), ("exclude", self.exclude))
        return [(name, value) for name, value in options if value is not None]


WHOLE = Choice()
"""Everything is saved."""


def _of(patterns: PatternsOfParts | None, part: str) -> Patterns | None:
    return patterns.get(part) if isinstance(patterns, Mapping) else patterns
