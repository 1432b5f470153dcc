"""Errors of configurations, for the person who wrote the file.

ValueError
└── ConfigError               values that do not fit the class, all of them
    ├── ConfigSyntaxError     text that is not JSON, YAML or RON
    └── ConfigVersionError    a file of a version that the class cannot read
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_SHOWN = 50
"""Number of problems in a message; `ConfigError.problems` has all."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem at one place of a configuration."""

    path: str
    """Its location: a dotted path, with ``[0]`` for list items; empty for the whole."""

    message: str
    """What was found and what is allowed."""

    kind: str = field(default="", repr=False, compare=False)
    """The kind of problem: pydantic's name for it, or ``rule``; empty for others."""

    def __post_init__(self) -> None:
        # A hostile file must not be able to produce a huge message.
        object.__setattr__(self, "path", _cut(self.path, 400))
        object.__setattr__(self, "message", _cut(self.message, 2000))

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(ValueError):
    """Values that do not fit their class; ``problems`` lists every one."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        super().__init__(source, problems)
        self.source, self.problems = source, tuple(problems)

    def __str__(self) -> str:
        where = f"{self.source}: " if self.source else ""
        if len(self.problems) == 1:
            return f"{where}{self.problems[0]}"
        lines = "".join(f"\n  {problem}" for problem in self.problems[:MAX_SHOWN])
        n_hidden = len(self.problems) - MAX_SHOWN
        more = f"\n  and {n_hidden} more" if n_hidden > 0 else ""
        return f"{where}{len(self.problems)} problems{lines}{more}"


class ConfigSyntaxError(ConfigError):
    """Text that is invalid in its format; lines and columns count from 1."""

    def __init__(
        self,
        message: str,
        line: int | None = None,
        column: int | None = None,
        source: str = "",
    ) -> None:
        message = _cut(message, 2000)
        super().__init__(source, [Problem("", message)])
        self.args = (message, line, column, source)
        self.message, self.line, self.column = message, line, column

    def __str__(self) -> str:
        where = self.source
        if self.line is not None:
            where += f"{', ' if where else ''}line {self.line}, column {self.column}"
        return f"{where}: {self.message}" if where else self.message

    def within(self, source: str) -> "ConfigSyntaxError":
        """Return the same error with ``source`` as its file."""
        return ConfigSyntaxError(self.message, self.line, self.column, source)


class ConfigVersionError(ConfigError):
    """A version that the class cannot read."""


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."
