"""Calls that Python refuses, with what to write instead."""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter
from typing import Any, Literal, ParamSpec, TypeVar

from ..config.arguments import check_flag
from ..config.process.interrupts import end_abandoned
from ..config.spelling import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

Direction = Literal["read", "write"]
Cure = Callable[[tuple[Any, ...], str], str | None]
"""From the positional arguments and an unknown keyword to what to write, or None."""

OPEN = "burnish.open_record"
"""The call whose keywords every other one that reads is asked for."""


def explain_calls(
    example: str,
    direction: Direction,
    *,
    also: Callable[..., Any] | None = None,
    cure: Cure | None = None,
    is_home: bool = True,
    checks_itself: Collection[str] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function whose arguments are wrong say whose they are.

    ``example`` is the call as people write it, with ``{}`` where more keywords go, and
    ``file`` for what it reads. Keywords of ``also`` are handed on to it. If it
    ``is_home``, other calls send the keywords of this function here. Options that are
    declared as bool take nothing else, but those that the function ``checks_itself``.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        call = _Call(function, example, direction, also, cure)
        if is_home:
            _homes.append(call)
        flags = _flags(function, checks_itself)

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs.keys() & flags.keys():
                if type(kwargs[name]) is not bool:
                    where = f"{call.name}: {name}"
                    check_flag(where, kwargs[name], may_be_none=flags[name])
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                # Only now, so that a call that is right pays nothing.
                problem = call.problem(args, kwargs)
                if problem is None and _is_of_call(error):
                    problem = call.describe(str(error))
                if problem is None:
                    raise
            except BaseException as error:
                end_abandoned(error)
                raise
            raise TypeError(problem)

        return checked

    return decorate


def _flags(
    function: Callable[..., Any], checks_itself: Collection[str]
) -> dict[str, bool]:
    """Return the options that are declared as bool, and whether None is one as well."""
    hints = {
        name: getattr(parameter.annotation, "__name__", str(parameter.annotation))
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty and name not in checks_itself
    }
    return {
        name: hint != "bool"
        for name, hint in hints.items()
        if hint in ("bool", "bool | None")
    }


def home_of(
    keyword: str, example: str, direction: Direction, accepted: Collection[str] = ()
) -> str | None:
    """Return what to write for ``keyword``, which the call ``example`` does not take.

    ``accepted`` are the keywords that it does take. None if no other call takes it.
    """
    if keyword in _NEEDLESS[direction]:
        return f"Leave it out: {_NEEDLESS[direction][keyword]}."
    name = _SYNONYMS[direction].get(keyword, keyword)
    option = f"{name}=..."
    called = "It is" if name == keyword else f"It is called {name}, and is"
    if name in accepted:
        return f"It is called {name}: {_fill_example(example, option)}."
    if "recorder" in accepted and name in _OF_RECORDERS:
        recorder = f"recorder=burnish.records.Recorder({option})"
        return f"{called} a setting of recorders: {_fill_example(example, recorder)}."
    homes = [call for call in _homes if name in call.keywords]
    if not homes:
        return None
    verb = _name(example).rpartition(".")[2]
    home = min(
        homes,
        key=lambda call: (
            call.direction != direction,
            call.name != OPEN,
            call.name.rpartition(".")[2] != verb,
        ),
    )
    call_text = _fill_example(home.example, option)
    if home.name == OPEN and direction == "read":
        # What it returns may stand wherever a file is read.
        call_text = re.sub(r"\bfile\b", call_text, _fill_example(example))
    return f"{called} an option of {home.name}: {call_text}."


@dataclass(frozen=True, slots=True)
class _Call:
    """A function, and how people write its calls."""

    function: Callable[..., Any]
    example: str
    direction: Direction
    also: Callable[..., Any] | None
    cure: Cure | None

    @property
    def name(self) -> str:
        """How people name the function."""
        return _name(self.example)

    @property
    def keywords(self) -> list[str]:
        """The keywords that the function takes itself."""
        return _keywords(self.function)

    def problem(
        self, args: tuple[Any, ...], kwargs: Mapping[str, object]
    ) -> str | None:
        """Return what is wrong with the arguments of a call; None if they fit."""
        signature = inspect.signature(self.function)
        takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        accepted = {*signature.parameters, *self._passed_on()}
        for keyword in kwargs:
            if keyword not in accepted and (self.also is not None or not takes_any):
                return f"{self.name} takes no {keyword!r}. {self._place(args, keyword)}"
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            # Python says nothing of what may be given by name only.
            is_option = "too many positional" in str(error) and "{}" in self.example
            more = "; pass the rest by name" if is_option and self._options() else ""
            return self.describe(f"{error}{more}")
        return None

    def describe(self, problem: str) -> str:
        """Return what is wrong with a call, and the call as people write it."""
        return f"{self.name}: {problem}. Write {_fill_example(self.example)}."

    def _place(self, args: tuple[Any, ...], keyword: str) -> str:
        """Return where an unknown keyword belongs, or what might be meant."""
        accepted = [*self.keywords, *self._passed_on()]
        return (
            (self.cure and self.cure(args, keyword))
            or home_of(keyword, self.example, self.direction, accepted)
            or did_you_mean(keyword, accepted).strip()
            or f"It takes {', '.join(accepted) or 'no keywords'}."
        )

    def _options(self) -> bool:
        """Return whether anything is given by name only."""
        kinds = [p.kind for p in inspect.signature(self.function).parameters.values()]
        return Parameter.KEYWORD_ONLY in kinds or Parameter.VAR_KEYWORD in kinds

    def _passed_on(self) -> list[str]:
        return [] if self.also is None else _keywords(self.also)


def _is_of_call(error: TypeError) -> bool:
    """Return whether Python refused the call itself, of which no line ran.

    `inspect` is not always as strict: that of Python 3.13.0 lets a positional-only
    argument be given by name.
    """
    link = error.__traceback__
    return link is not None and link.tb_next is None


def _keywords(function: Callable[..., Any]) -> list[str]:
    """Return the names of what may be left out, which people give by name."""
    return [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY
        or (p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty)
    ]


def _name(example: str) -> str:
    return example.partition("(")[0]


def _fill_example(example: str, option: str = "") -> str:
    return example.replace("{}", f", {option}" if option else "")


_homes: list[_Call] = []
"""The functions to which keywords belong, in the order of their definition."""

_OF_RECORDERS = ("format", "compression", "level", "payload")

_SYNONYMS: dict[Direction, dict[str, str]] = {
    "read": {
        "map_location": "device",
        "torch_dtype": "dtype",
        "precision": "dtype",
        "ignore_mismatched_sizes": "exclude",
    },
    "write": {"dtype": "precision", "torch_dtype": "precision"},
}
"""Names that torch and its neighbors use, to ours."""

_NEEDLESS: dict[Direction, dict[str, str]] = {
    "read": {
        "weights_only": "nothing in a file is ever run",
        "assign": "load_record copies into the module, from_record takes the tensors",
    },
    "write": {
        "safe_serialization": "nothing is pickled",
        "overwrite": "a save takes the place of an older file, at once and whole",
        "push_to_hub": "huggingface_hub.upload_folder uploads what was saved",
        "pickle_module": "nothing is pickled",
        "pickle_protocol": "nothing is pickled",
    },
}
"""Keywords that torch and its neighbors need and we do not, with the reason."""
