"""Errors for wrong calls, with the correct call."""

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
"""Maps positional arguments and an unknown keyword to the call to write, or None."""

OPEN = "burnish.open_record"
"""The call whose keywords are looked up for every other reading call."""


def explain_calls(
    example: str,
    direction: Direction,
    *,
    also: Callable[..., Any] | None = None,
    cure: Cure | None = None,
    is_home: bool = True,
    checks_itself: Collection[str] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function explain wrong arguments by its own name and example.

    ``example`` is a typical call, with ``{}`` where more keywords go, and ``file`` for
    what it reads. Keywords of ``also`` are passed on to it. If it ``is_home``, other
    calls refer the keywords of this function to it. Options declared as bool accept
    nothing else, except those that the function ``checks_itself``.
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
                # Computed only here, so that a correct call costs nothing.
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
    """Return the options declared as bool, and whether each accepts None as well."""
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
    """Return what to write instead of ``keyword``, which ``example`` does not take.

    ``accepted`` are the keywords that it takes. Returns None if no other call takes it.
    """
    if keyword in _NEEDLESS[direction]:
        return f"Remove it: {_NEEDLESS[direction][keyword]}."
    name = _SYNONYMS[direction].get(keyword, keyword)
    option = f"{name}=..."
    called = "It is" if name == keyword else f"The option is called {name}, and is"
    if name in accepted:
        return f"The option is called {name}: {_fill_example(example, option)}."
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
        # Its result is accepted wherever a file is read.
        call_text = re.sub(r"\bfile\b", call_text, _fill_example(example))
    return f"{called} an option of {home.name}: {call_text}."


@dataclass(frozen=True, slots=True)
class _Call:
    """A function, and the usual form of its calls."""

    function: Callable[..., Any]
    example: str
    direction: Direction
    also: Callable[..., Any] | None
    cure: Cure | None

    @property
    def name(self) -> str:
        """The usual name of the function."""
        return _name(self.example)

    @property
    def keywords(self) -> list[str]:
        """The keywords that the function itself takes."""
        return _keywords(self.function)

    def problem(
        self, args: tuple[Any, ...], kwargs: Mapping[str, object]
    ) -> str | None:
        """Return a description of a call's wrong arguments; None if they fit."""
        signature = inspect.signature(self.function)
        takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        accepted = {*signature.parameters, *self._passed_on()}
        for keyword in kwargs:
            if keyword not in accepted and (self.also is not None or not takes_any):
                return f"{self.name} takes no {keyword!r}. {self._place(args, keyword)}"
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            # Python does not list the keyword-only arguments.
            is_option = "too many positional" in str(error) and "{}" in self.example
            more = "; pass the rest by name" if is_option and self._options() else ""
            return self.describe(f"{error}{more}")
        return None

    def describe(self, problem: str) -> str:
        """Return the description of a wrong call, and the call in its usual form."""
        return f"{self.name}: {problem}. Write {_fill_example(self.example)}."

    def _place(self, args: tuple[Any, ...], keyword: str) -> str:
        """Return where an unknown keyword belongs, or a similar one."""
        accepted = [*self.keywords, *self._passed_on()]
        return (
            (self.cure and self.cure(args, keyword))
            or home_of(keyword, self.example, self.direction, accepted)
            or did_you_mean(keyword, accepted).strip()
            or f"It takes {', '.join(accepted) or 'no keywords'}."
        )

    def _options(self) -> bool:
        """Return whether any argument is keyword-only."""
        kinds = [p.kind for p in inspect.signature(self.function).parameters.values()]
        return Parameter.KEYWORD_ONLY in kinds or Parameter.VAR_KEYWORD in kinds

    def _passed_on(self) -> list[str]:
        return [] if self.also is None else _keywords(self.also)


def _is_of_call(error: TypeError) -> bool:
    """Return whether Python refused the call itself, so that none of its lines ran.

    `inspect` is not always as strict: that of Python 3.13.0 accepts a positional-only
    argument by name.
    """
    link = error.__traceback__
    return link is not None and link.tb_next is None


def _keywords(function: Callable[..., Any]) -> list[str]:
    """Return the names of optional arguments, which are usually passed by name."""
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
"""Names that torch and related libraries use, mapped to ours."""

_NEEDLESS: dict[Direction, dict[str, str]] = {
    "read": {
        "weights_only": "nothing in a file is ever run",
        "assign": "load_record copies into the module, from_record takes the tensors",
    },
    "write": {
        "safe_serialization": "nothing is pickled",
        "overwrite": "a save always replaces an older file, atomically",
        "push_to_hub": "huggingface_hub.upload_folder uploads what was saved",
        "pickle_module": "nothing is pickled",
        "pickle_protocol": "nothing is pickled",
    },
}
"""Keywords that torch and related libraries need and we do not, with the reason."""
