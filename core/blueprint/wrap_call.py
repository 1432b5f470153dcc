"""Conversion of a call of ``wrap`` to an edit."""

import functools
from typing import Any

from .edits.edits import SetArguments, Unbuilt, definition_of
from .edits.wrapped import Wrapped, holds_place
from .errors import SettingError
from .parts import Parts
from .tree.construction_node import ConstructionNode
from .tree.module_values import BlueprintMaker, as_blueprint, is_module_class


def wrap_parts(parts: Parts, around: Any, blueprint_of: BlueprintMaker) -> SetArguments:
    """Return the edit that puts ``around``'s result for a part around ``parts``."""
    for node in parts.existing_nodes():
        _check_wrappable(node, parts.draft.tree)
    place = blueprint_of(Wrapped, {})
    if is_module_class(around):
        wrapper = as_blueprint(functools.partial(around, place), blueprint_of)
    elif callable(around):
        wrapper = _around_place(around, place)
    else:
        raise TypeError(f"expected a function that takes the part, got {around!r:.80}")
    if not isinstance(wrapper, Unbuilt):
        raise TypeError(
            f"expected the blueprint that wraps the part, got {wrapper!r:.80}: lambda "
            "part: Blueprint(nn.Sequential, part, ...)"
        )
    definition = definition_of(wrapper)
    if definition.edits:
        raise SettingError(
            parts.paths[0],
            "the wrapper has been edited itself: pass everything as arguments, "
            "and configure the parts after wrapping.",
        )
    return SetArguments(
        target=parts.target,
        cls=definition.cls,
        arguments=definition.arguments,
        keeps_arguments=False,
        wraps_at=_place_in(wrapper, parts.paths[0]),
    )


def _around_place(around: Any, place: Any) -> Any:
    try:
        return around(place)
    except TypeError as error:
        if "Blueprint" not in str(error):
            raise
        raise TypeError(
            f"{error}. The part is not built yet, so its wrapper cannot be built "
            "either: lambda part: Blueprint(nn.Sequential, part, ...)"
        ) from error


def _place_in(wrapper: Unbuilt, path: str) -> str:
    """Return the path of the wrapped part inside of its wrapper."""
    arguments = definition_of(wrapper).arguments
    names: list[str] = getattr(wrapper, "isinstance")(Wrapped).list_names()  # noqa: B009
    if not holds_place(arguments) or not names or names == [""]:
        raise SettingError(
            path,
            "the wrapper must take the part as an argument, and keep it: lambda "
            "part: Blueprint(nn.Sequential, part, ...). To nest it deeper, wrap "
            "twice.",
        )
    return names[0]


def _check_wrappable(node: ConstructionNode, tree: ConstructionNode) -> None:
    if not node.path:
        raise SettingError(
            "",
            "to wrap the whole blueprint, pass it to another one: "
            "Blueprint(nn.Sequential, blueprint, ...).",
        )
    # Edits of an inner blueprint use the paths that parts have in it, and it does not
    # know of wrappers that are put around them from outside.
    makers = [maker for maker in tree.walk() if _is_configured_blueprint(maker)]
    if any(inner_node is node for maker in makers for inner_node in maker.walk()):
        raise SettingError(
            node.path,
            "this part is, or is inside, a blueprint with edits that was passed "
            "as an argument: wrap the part in that blueprint before you pass it.",
        )


def _is_configured_blueprint(node: ConstructionNode) -> bool:
    return node.inner_tree is not None and bool(node.inner_tree.edits)
