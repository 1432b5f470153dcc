"""Arguments of constructors by name: bound, edited, checked, fitted to a class."""

import inspect
import numbers
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, TypeAlias

from torch import nn

from ....config.classes.declared_types import members
from ....config.path import join
from ....config.short_text import with_article
from ....config.spelling import did_you_mean
from ...hyperparameters.declared import argument_hints
from ...modules.classes import by_class
from ...modules.keywords_read import keywords_read
from ...modules.signature import VARIADIC, parameters_of
from ..edits.edits import Edit, SetArguments
from ..edits.wrapped import WrappedCall, filled
from ..errors import SettingError, WrongTypeError
from .construction_node import ConstructionNode

Arguments: TypeAlias = dict[str, Any]
"""Arguments by name; those of ``*args`` are one tuple, of ``**kwargs`` one dict."""

_SAME_SIZE = ("num_features", "num_channels", "normalized_shape")
"""The argument of torch's norms for the number of channels."""


def bind(
    cls: type[nn.Module], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> Arguments:
    """Return the passed arguments by name, without defaults; some may be missing."""
    if not args and not kwargs:
        return {}
    return dict(_signature(cls).bind_partial(*args, **kwargs).arguments)


@by_class
def argument_names(cls: type[nn.Module]) -> tuple[str, ...]:
    """Return the arguments of ``cls`` that have a name."""
    return tuple(n for n, p in parameters_of(cls).items() if p.kind not in VARIADIC)


def has_argument(cls: type[nn.Module], name: str) -> bool:
    """Return whether ``cls`` accepts an argument called ``name``."""
    parameter = parameters_of(cls).get(name)
    if parameter is not None and parameter.kind not in VARIADIC:
        return True
    if var_keyword_of(cls) is None:
        return False
    names = keywords_read(cls)
    return names is None or name in names


def settable_names(cls: type[nn.Module]) -> list[str]:
    """Return the known argument names of ``cls``, those from ``**kwargs`` included."""
    names = keywords_read(cls) if var_keyword_of(cls) is not None else None
    return [*argument_names(cls), *sorted(names or ())]


def taken_text(cls: type[nn.Module]) -> str:
    """Describe the arguments of ``cls``, for an error about an unknown name."""
    text = ", ".join(argument_names(cls)) or "nothing"
    var_keyword = var_keyword_of(cls)
    names = None if var_keyword is None else keywords_read(cls)
    if names is None:
        return text
    read = ", ".join(sorted(names))
    of_keywords = f"reads only {read} of" if names else "never reads"
    return f"{text}; its constructor {of_keywords} **{var_keyword}"


@by_class
def var_keyword_of(cls: type[nn.Module]) -> str | None:
    """Return the name of the ``**kwargs`` of ``cls``, None if it has none."""
    kinds = ((n, p.kind) for n, p in parameters_of(cls).items())
    return next((n for n, kind in kinds if kind is Parameter.VAR_KEYWORD), None)


def merge_arguments(
    cls: type[nn.Module], arguments: Mapping[str, Any], extra: Mapping[str, Any]
) -> Arguments:
    """Return ``arguments`` with ``extra``; unknown names go into ``**kwargs``."""
    all_arguments = dict(arguments)
    parameters, var_keyword = parameters_of(cls), var_keyword_of(cls)
    for name, value in extra.items():
        is_named = (
            name in parameters and parameters[name].kind is not Parameter.VAR_KEYWORD
        )
        if is_named or var_keyword is None or name == var_keyword:
            all_arguments[name] = value
        else:
            all_arguments[var_keyword] = {
                **all_arguments.get(var_keyword, {}),
                name: value,
            }
    return all_arguments


def transfer_arguments(
    arguments: Mapping[str, Any], old_cls: type[nn.Module], new_cls: type[nn.Module]
) -> Arguments:
    """Return those of ``arguments`` of ``old_cls`` that ``new_cls`` accepts too."""
    old_parameters, new_parameters = parameters_of(old_cls), parameters_of(new_cls)
    transferred: Arguments = {}
    for name, value in arguments.items():
        parameter = old_parameters.get(name)
        kind = Parameter.KEYWORD_ONLY if parameter is None else parameter.kind
        if kind in VARIADIC:
            names = [n for n, p in new_parameters.items() if p.kind is kind]
            transferred |= dict.fromkeys(names, value)
        elif name in new_parameters and new_parameters[name].kind not in VARIADIC:
            transferred[name] = value
        elif name in _SAME_SIZE:
            # A norm that replaces another has the same number of channels.
            transferred |= {
                n: value
                for n in _SAME_SIZE
                if n in new_parameters and n not in arguments
            }
    return transferred


def missing_arguments(cls: type[nn.Module], arguments: Iterable[str]) -> list[str]:
    """Return the required arguments that are not among ``arguments``."""
    passed_names = set(arguments)
    return [
        name
        for name, parameter in parameters_of(cls).items()
        if parameter.default is Parameter.empty
        and parameter.kind not in VARIADIC
        and name not in passed_names
    ]


@by_class
def check_configurable(cls: type[nn.Module]) -> None:
    """Raise TypeError for a constructor whose arguments cannot be passed by name."""
    kinds = {p.kind for p in parameters_of(cls).values()}
    if {Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL} <= kinds:
        raise TypeError(
            f"{cls.__qualname__} takes positional-only arguments next to *args: they "
            "cannot be set by name. Remove the '/' from its constructor."
        )


@by_class
def _signature(cls: type[nn.Module]) -> inspect.Signature:
    parameters = sorted(parameters_of(cls).values(), key=lambda p: p.kind)
    by_default = [_without_default(p) for p in parameters]
    return inspect.Signature(by_default)


def _without_default(parameter: Parameter) -> Parameter:
    # The parameters of torch's recurrent layers are combined from two signatures, in
    # which one with a default may precede one without.
    return parameter.replace(default=Parameter.empty)


@dataclass(frozen=True, slots=True)
class ConstructorCall:
    """A call of a constructor, after the edits."""

    cls: type[nn.Module]
    arguments: Arguments
    """The maker's arguments, unless an edit sets them, and those of edits."""
    sources: Mapping[str, SetArguments]
    """The edit that set each argument, for those not passed by the maker."""


def edited_call(
    called_cls: type[nn.Module],
    passed_arguments: Mapping[str, Any],
    edits: Iterable[Edit],
) -> ConstructorCall:
    """Return the call of ``called_cls`` after those of ``edits`` that set arguments."""
    cls, arguments = called_cls, dict(passed_arguments)
    sources: dict[str, SetArguments] = {}
    for edit in edits:
        if not isinstance(edit, SetArguments):
            continue
        new_arguments = edit.arguments
        if edit.cls is not None:
            if edit.wraps_at:
                inner_call = WrappedCall(cls, arguments, frozenset(sources))
                new_arguments = filled(dict(new_arguments), inner_call)
            if not edit.keeps_arguments:
                arguments, sources = {}, {}
            elif edit.cls is not cls:
                arguments = transfer_arguments(arguments, cls, edit.cls)
                sources = {n: s for n, s in sources.items() if n in arguments}
            cls = edit.cls
        arguments = merge_arguments(cls, arguments, new_arguments)
        sources |= dict.fromkeys(edit.arguments, edit)
    return ConstructorCall(cls, arguments, sources)


def edited_call_of(node: ConstructionNode, edits: Iterable[Edit]) -> ConstructorCall:
    """Return the call of ``node`` after ``edits``.

    Edits of blueprints inside of its maker come first, so that the outer ones win.
    """
    return edited_call(
        node.original_cls, node.passed_arguments, (*node.inner_edits, *edits)
    )


def check_arguments(call: ConstructorCall, path: str, setting: SetArguments) -> None:
    """Raise `SettingError` for names or values that the class does not accept."""
    for name, value in setting.arguments.items():
        check_name(call.cls, name, path)
        check_type(call.cls, name, value, path)


def check_name(cls: type[nn.Module], name: str, path: str) -> None:
    """Raise `SettingError` if ``cls`` accepts no argument ``name``."""
    if has_argument(cls, name) or name in parameters_of(cls):
        return
    raise SettingError(
        path,
        f"{cls.__qualname__} takes no argument {name!r}."
        f"{did_you_mean(name, settable_names(cls))} It takes: {taken_text(cls)}.",
    )


_TYPES_OF_DECLARED: dict[Any, tuple[type, ...]] = {
    int: (numbers.Integral,),
    float: (numbers.Real,),
    bool: (bool,),
    str: (str,),
    type(None): (type(None),),
}
_PLAIN = (bool, int, float, str, list, tuple, dict)


def check_type(cls: type[nn.Module], name: str, value: object, path: str) -> None:
    """Raise `WrongTypeError` for a plain value that the annotation excludes.

    None is left to the constructor, since sizes may be omitted; so is any argument
    declared as more than numbers, strings and None.
    """
    declared = members(argument_hints(cls).get(name, Any))
    if type(value) not in _PLAIN or not all(
        kind in _TYPES_OF_DECLARED for kind in declared
    ):
        return
    if any(isinstance(value, _TYPES_OF_DECLARED[kind]) for kind in declared):
        return
    expected = " or ".join(_name(kind) for kind in declared)
    raise WrongTypeError(
        join(path, name),
        f"{cls.__qualname__} expects {expected}, "
        f"found {value!r:.60}, {with_article(type(value).__name__)}.",
    )


def _name(kind: Any) -> str:
    return "None" if kind is type(None) else str(typing.cast(type, kind).__name__)
