"""Representations of a blueprint: text, a diagram, and the sources of settings."""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from ...config.path import join
from ...config.storage.replacement import write_text
from ..modules.signature import VARIADIC, parameters_of
from .construction.draft import Draft
from .edits.computed import Computed
from .edits.edits import CallMethod, Edit, SetArguments, short
from .edits.selector import children
from .errors import BlueprintError
from .tree.arguments import check_name, missing_arguments, transfer_arguments
from .tree.construction_node import ConstructionNode

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree


def tree_text(draft: Draft, path: str) -> str:
    """Return the tree at ``path`` as it would be built; equal neighbors share a line.

    If the constructors raise, the text states it, since debuggers show this unasked.
    """
    try:
        draft.refresh()
    except BlueprintError as error:
        lines = str(error).splitlines() or [""]
        return f"{_tree(draft, path)}\n(cannot be built: {lines[0]})"
    return _tree(draft, path)


def _tree(draft: Draft, path: str) -> str:
    lines = _lines(draft, list(draft.nodes_by_path), path)
    calls = [e for e in draft.edits if isinstance(e, CallMethod) and not path]
    # The settings of these calls apply to one build each, and are not in the tree.
    lines += [f"(before build: {c})" for c in calls if c.moment == "before_build"]
    return "\n".join(lines)


def call_text(node: ConstructionNode) -> str:
    """Return the class and the passed arguments: ``Linear(3, 4)``."""
    parameters = parameters_of(node.cls)
    words: list[str] = []
    unknown = {n for n, computed in node.computed.items() if computed.problem}
    for name, value in node.arguments.items():
        kind = parameters[name].kind if name in parameters else None
        if kind in VARIADIC and isinstance(value, tuple | list):
            words += [short(item) for item in value]
        elif kind in VARIADIC and isinstance(value, dict):
            words += [f"{n}={short(item)}" for n, item in value.items()]
        else:
            words.append(f"{name}={'?' if name in unknown else short(value)}")
    words += [f"{name}=?" for name in node.missing_sizes if name not in node.arguments]
    if not node.paths:
        words += [f"{n}=?" for n in missing_arguments(node.cls, node.arguments)]
    if issubclass(node.cls, nn.ModuleList | nn.ModuleDict | nn.Sequential):
        return node.cls.__qualname__
    return f"{node.cls.__qualname__}({', '.join(words)})"


def _lines(draft: Draft, tree: list[str], path: str) -> list[str]:
    node = draft.nodes_by_path.get(path)
    call = "?" if node is None else call_text(node)
    lines = [call]
    groups: list[tuple[list[str], list[str]]] = []
    for child in children(tree, path):
        name, child_lines = child.rpartition(".")[2], _lines(draft, tree, child)
        is_equal = bool(groups) and groups[-1][1] == child_lines
        if is_equal and name.isdecimal() and groups[-1][0][-1].isdecimal():
            groups[-1][0].append(name)
        else:
            groups.append(([name], child_lines))
    for names, child_lines in groups:
        n = f"{len(names)} x " if len(names) > 1 else ""
        span = names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"
        lines.append(f"  ({span}): {n}{child_lines[0]}")
        lines += [f"  {line}" for line in child_lines[1:]]
    return lines


class Diagram:
    """A drawing to print in a terminal, or to embed in a document as SVG."""

    def __init__(self, draft: Draft, path: str = "") -> None:
        self._draft, self._paths = draft, list(draft.nodes_by_path)
        self._path = path
        """The path of the part that is drawn."""

    def svg(self, file: "str | os.PathLike[str] | None" = None) -> str:
        """Return the drawing as SVG, and write it to ``file`` if given."""
        console = self._console(record=True)
        console.print(self._tree())
        svg = console.export_svg(title=self._draft.tree.cls.__qualname__)
        if file is not None:
            write_text(file, svg)
        return svg

    def __rich__(self) -> "Tree":
        return self._tree()

    def __str__(self) -> str:
        console = self._console(record=False)
        with console.capture() as captured:
            console.print(self._tree())
        return captured.get().rstrip("\n")

    __repr__ = __str__

    def _repr_svg_(self) -> str:
        return self.svg()

    def _console(self, *, record: bool) -> "Console":
        from rich.console import Console

        return Console(record=record, file=io.StringIO(), width=100)

    def _tree(self) -> "Tree":
        from rich.tree import Tree

        node = self._draft.nodes_by_path.get(self._path, self._draft.tree)
        root = Tree(self._label(self._path, node))
        self._grow(root, self._path)
        return root

    def _grow(self, tree: "Tree", path: str) -> None:
        for child in children(self._paths, path):
            name = child.rpartition(".")[2]
            self._grow(
                tree.add(self._label(name, self._draft.nodes_by_path[child])), child
            )

    def _label(self, name: str, node: ConstructionNode) -> Any:
        from rich.text import Text

        label = Text(f"{name}: " if name else "")
        label.append(call_text(node), style="bold" if node.edits else "")
        for edit, color in _edits_with_colors(node):
            label.append(f"  <- {edit.by}: {edit}", style=color)
        return label


def _edits_with_colors(node: ConstructionNode) -> Iterator[tuple[Edit, str]]:
    for edit in node.inner_edits:
        yield edit, "cyan"
    for edit in node.edits:
        yield edit, "green" if edit.by == "user" else "yellow"


@dataclass(frozen=True, slots=True)
class ArgumentSource:
    """A source of an argument or a class."""

    who: str
    """``user``, a call, a constructor by path and class, or ``default``."""
    value: Any
    how: str = ""
    """The edit, and its target."""


@dataclass(frozen=True, slots=True)
class Explanation(Sequence[ArgumentSource]):
    """The sources of one value, of which the first is in effect."""

    path: str
    sources: tuple[ArgumentSource, ...]

    @property
    def value(self) -> Any:
        """The value that is in effect."""
        return self.sources[0].value

    def __getitem__(self, index: Any) -> Any:
        return self.sources[index]

    def __len__(self) -> int:
        return len(self.sources)

    def __str__(self) -> str:
        width = max(len(source.who) for source in self.sources)
        lines = [f"{self.path or 'the whole'} = {short(self.value)}"]
        for i, source in enumerate(self.sources):
            how = f"  ({source.how})" if source.how else ""
            mark = "->" if i == 0 else "  "
            lines.append(f"{mark} {source.who:<{width}}  {short(source.value)}{how}")
        return "\n".join(lines)


def explain(draft: Draft, path: str) -> Explanation:
    """Return the sources of the part or the argument at ``path``."""
    owner, _, name = path.rpartition(".")
    if path in draft.nodes_by_path and not (path and _is_argument(draft, owner, name)):
        return Explanation(
            path, tuple(_class_sources(draft, draft.nodes_by_path[path]))
        )
    if owner not in draft.nodes_by_path:
        raise draft.nothing_at(path)
    node = draft.nodes_by_path[owner]
    if name not in node.arguments:
        check_name(node.cls, name, owner)
    sources = tuple(_argument_sources(draft, node, name))
    not_set = ArgumentSource("not set", None, node.cls.__qualname__)
    return Explanation(path, sources or (not_set,))


def _is_argument(draft: Draft, owner: str, name: str) -> bool:
    """Return whether an argument has the name of a part, and was set by an edit."""
    node = draft.nodes_by_path.get(owner)
    settings = node.edits if node is not None else ()
    return any(
        isinstance(edit, SetArguments) and name in edit.arguments for edit in settings
    )


def _class_sources(draft: Draft, node: ConstructionNode) -> Iterator[ArgumentSource]:
    for edit in _edits_by_strength(node):
        if isinstance(edit, SetArguments) and edit.cls is not None:
            yield ArgumentSource(edit.by, edit.cls, _edit_text(edit))
    yield ArgumentSource(_maker(draft, node), node.original_cls)


def _argument_sources(
    draft: Draft, node: ConstructionNode, name: str
) -> Iterator[ArgumentSource]:
    last_swap: SetArguments | None = None
    for edit in _edits_by_strength(node):
        if not isinstance(edit, SetArguments):
            continue
        if name in edit.arguments and (last_swap is None or last_swap.keeps_arguments):
            value = _computed_value(node, name, edit.arguments[name])
            yield ArgumentSource(edit.by, value, _edit_text(edit))
        if edit.cls is not None and last_swap is None:
            last_swap = edit
    passed = transfer_arguments(node.passed_arguments, node.original_cls, node.cls)
    if name in passed and (last_swap is None or last_swap.keeps_arguments):
        value = _computed_value(node, name, passed[name])
        how = str(passed[name]) if isinstance(passed[name], Computed) else ""
        yield ArgumentSource(_maker(draft, node), value, how)
    if name in node.missing_sizes:
        yield ArgumentSource("not set", None, "build(example) finds it")
    parameter = parameters_of(node.cls).get(name)
    if parameter is not None and parameter.default is not parameter.empty:
        yield ArgumentSource("default", parameter.default, node.cls.__qualname__)


def _computed_value(node: ConstructionNode, name: str, value: Any) -> Any:
    """Return ``value``, or the result if it is computed."""
    computed = node.computed.get(name)
    if not isinstance(value, Computed) or computed is None or computed.problem:
        return value
    return computed.value


def _edits_by_strength(node: ConstructionNode) -> list[Edit]:
    return [*node.edits[::-1], *node.inner_edits[::-1]]


def _edit_text(edit: SetArguments) -> str:
    target = edit.target if isinstance(edit.target, str) else ", ".join(edit.target)
    return f"{target or 'the whole'}: {edit}"


def _maker(draft: Draft, node: ConstructionNode) -> str:
    if node is draft.tree:
        return "user"
    maker = next(
        maker
        for maker in draft.tree.walk()
        if any(child is node for child in maker.children)
    )
    return f"{join(maker.path, maker.cls.__qualname__)}.__init__"
