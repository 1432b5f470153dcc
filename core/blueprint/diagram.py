"""The tree of a blueprint as a drawing: what was configured, and by whom."""

import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...config.storage.replacement import write_text
from .draft import Draft
from .entry import Entry
from .made import Made
from .selecting import children
from .showing import told

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree


class Diagram:
    """Print it in a terminal, or give it to a document as SVG."""

    def __init__(self, draft: Draft) -> None:
        self._draft, self._paths = draft, list(draft.places)

    def svg(self, file: "str | os.PathLike[str] | None" = None) -> str:
        """Return the drawing as SVG, and write it to ``file`` if there is one."""
        console = self._console(record=True)
        console.print(self._tree())
        drawn = console.export_svg(title=self._draft.tree.cls.__qualname__)
        if file is not None:
            write_text(file, drawn)
        return drawn

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

        root = Tree(self._label("", self._draft.tree))
        self._grow(root, "")
        return root

    def _grow(self, tree: "Tree", path: str) -> None:
        for kid in children(self._paths, path):
            name = kid.rpartition(".")[2]
            self._grow(tree.add(self._label(name, self._draft.places[kid])), kid)

    def _label(self, name: str, made: Made) -> Any:
        from rich.text import Text

        label = Text(f"{name}: " if name else "")
        label.append(told(made), style="bold" if made.plan else "")
        for entry, color in _marked(made):
            label.append(f"  <- {entry.by}: {entry}", style=color)
        return label


def _marked(made: Made) -> Iterator[tuple[Entry, str]]:
    for entry in made.below:
        yield entry, "cyan"
    for entry in made.plan:
        yield entry, "green" if entry.by == "user" else "yellow"
