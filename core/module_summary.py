"""A summary of a module: its tensors with IDs, shapes and counts."""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..config.arguments import check_count
from ..config.patterns import Patterns
from ..config.short_text import quantity
from ..records.entries.entry import Kind, ParamId
from ..records.entries.show import shape_text
from ..records.entries.wrapped_tensors import tensors_within
from ..records.tensors.dtypes import name_of_dtype
from ..records.tensors.memory import Ties
from ..records.tensors.tensor_classes import is_wrapper
from .modules.module_argument import check_module
from .modules.tree import Places, places_of, unwrapped
from .state.entries import held_tensors
from .state.identity import identify
from .state.param_selection import select_params

if TYPE_CHECKING:
    from rich.console import Console, Group


def num_params(module: nn.Module, only: Patterns | None = None) -> int:
    """Return the number of elements of the parameters, shared ones counted once.

    ``only`` restricts it to those that match: ``num_params(net, burnish.trainable)``.
    ValueError that names a parameter whose shape is not known yet.
    """
    first_paths, count = Ties[str](), 0
    patterns = _any_param if only is None else only
    for param in select_params(module, patterns, "num_params"):
        shape = _shape_of(param.tensor)
        if shape is None:
            raise ValueError(
                f"{param.path} has no shape yet, so it cannot be counted: call "
                "the module once, net(example), or load it, load_record(net, "
                "file)"
            )
        if first_paths.owner(param.tensor) is None:
            first_paths.add(param.tensor, param.path)
            count += math.prod(shape)
    return count


def summary(module: nn.Module, *, depth: int | None = None) -> "ModuleSummary":
    """Return a table of the module's layers and tensors, for terminals and notebooks.

    ``depth`` folds deeper tensors into their layer. IDs are created as `named_params`
    does; wrappers (torch.compile, DDP, FSDP) are unwrapped.
    """
    check_module(module, "summary")
    check_count("depth", depth, least=0, may_be_none=True)
    places = places_of(module)
    layers = {prefix: type(unwrapped(owner)).__name__ for prefix, owner in places}
    return ModuleSummary(layers, _tensor_rows(places), depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRow:
    """A parameter or a buffer at one of its paths."""

    path: str
    kind: Kind
    dtype: str
    shape: tuple[int, ...] | None
    """None for a parameter that is initialized by its first input."""
    n_elements: int
    """The number of elements counted here: 0 if they are counted at another path."""
    n_bytes: int
    id: ParamId | None
    """None for a buffer."""
    is_trainable: bool
    shared_with: str | None
    """The first path of a shared tensor."""

    @property
    def note(self) -> str:
        """What is unusual about the tensor, in a few words."""
        if self.shared_with is not None:
            return f"is {self.shared_with}"
        if self.shape is None:
            return "uninitialized: its shape depends on the first input"
        if self.kind == "transient":
            return "buffer, not in state dicts"
        if self.kind == "buffer":
            return "buffer"
        return "" if self.is_trainable else "frozen"


class ModuleSummary:
    """The result of `summary`: rows to read, and the table that shows them."""

    def __init__(
        self, layers: dict[str, str], rows: list[TensorRow], depth: int | None
    ) -> None:
        self.layers = layers
        """The class name of each layer, by the prefix of its paths."""
        self.rows = rows
        """Every tensor, a shared one at each of its paths."""
        self.depth = depth

    @property
    def n_params(self) -> int:
        """The number of elements of all parameters with a known shape."""
        return self._count("parameter")

    @property
    def n_trainable(self) -> int:
        """The number of those that are trained."""
        return sum(r.n_elements for r in self.rows if r.is_trainable)

    @property
    def n_buffers(self) -> int:
        """The number of elements of all buffers."""
        return self._count("buffer", "transient")

    def __str__(self) -> str:
        console = self._console(record=False)
        with console.capture() as captured:
            console.print(self.__rich__())
        lines = captured.get().splitlines()
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def __rich__(self) -> "Group":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None)
        for name in ("", "shape", "dtype"):
            table.add_column(name, no_wrap=True)
        table.add_column("numbers", justify="right", no_wrap=True)
        for name in ("ID", ""):
            table.add_column(name, no_wrap=True)
        for row in self._lines():
            # Names come from the user, and may look like markup.
            table.add_row(*map(Text, row))
        return Group(table, Text(f" {self._totals()}"))

    def _repr_html_(self) -> str:
        console = self._console(record=True)
        console.print(self.__rich__())
        html: str = console.export_html(
            inline_styles=True, code_format='<pre style="line-height:1.3">{code}</pre>'
        )
        return html

    def _lines(self) -> Iterable[tuple[str, ...]]:
        tensors: dict[str, list[TensorRow]] = {}
        for row in self.rows:
            prefix = row.path[: row.path.rfind(".") + 1]
            tensors.setdefault(prefix, []).append(row)
        counts = self._counts_by_layer()
        for prefix, layer in self.layers.items():
            level = prefix.count(".")
            if self.depth is not None and level > self.depth:
                continue
            within = f"{counts.get(prefix, 0):,}"
            name = prefix[:-1].rpartition(".")[2]
            indent = "  " * level
            yield f"{indent}{name}: {layer}" if name else layer, "", "", within, "", ""
            if level == self.depth:
                continue
            for row in tensors.get(prefix, ()):
                yield _line(f"{indent}  {row.path[len(prefix) :]}", row)

    def _counts_by_layer(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for row in self.rows:
            for prefix in _prefixes(row.path) if row.kind == "parameter" else ():
                counts[prefix] = counts.get(prefix, 0) + row.n_elements
        return counts

    def _count(self, *kinds: Kind) -> int:
        return sum(row.n_elements for row in self.rows if row.kind in kinds)

    def _totals(self) -> str:
        frozen = self.n_params - self.n_trainable
        total = (
            f"{quantity(self.n_params, 'parameter')}: {self.n_trainable:,} trainable"
        )
        total += f", {frozen:,} frozen" if frozen else ""
        if self.n_buffers:
            total += f"; {self.n_buffers:,} in buffers"
        unknown = sum(row.shape is None for row in self.rows)
        if unknown:
            total += f"; {unknown} uninitialized, not counted"
        return f"{total}; {quantity(sum(row.n_bytes for row in self.rows), 'byte')}"

    def _console(self, *, record: bool) -> "Console":
        from rich.console import Console

        # As wide as any table, so that no path is cut.
        return Console(record=record, file=io.StringIO(), width=10_000)


def _prefixes(path: str) -> list[str]:
    """Return the prefixes of ``path`` that are layers, the root first."""
    dots = [i + 1 for i, letter in enumerate(path) if letter == "."]
    return ["", *(path[:i] for i in dots)]


def _line(name: str, row: TensorRow) -> tuple[str, ...]:
    shape = "?" if row.shape is None else shape_text(row.shape)
    counted = f"{row.n_elements:,}" if row.shared_with is None else ""
    return name, shape, row.dtype, counted, row.id or "", row.note


def _tensor_rows(places: Places) -> list[TensorRow]:
    ids = identify(places)
    first_paths = Ties[str]()
    rows: list[TensorRow] = []
    for path, kind, tensor in held_tensors(places):
        if not isinstance(tensor, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  # a module may hold anything
            continue
        first_path = first_paths.owner(tensor)
        if first_path is None:
            first_paths.add(tensor, path)
        is_first = first_path in (None, path)
        rows.append(_row(path, kind, tensor, ids, None if is_first else first_path))
    return rows


def _row(
    path: str,
    kind: Kind,
    tensor: Tensor,
    ids: dict[int, ParamId],
    shared_with: str | None,
) -> TensorRow:
    shape = _shape_of(tensor)
    count = 0 if shape is None or shared_with is not None else math.prod(shape)
    return TensorRow(
        path=path,
        kind=kind,
        dtype=name_of_dtype(tensor.dtype),
        shape=shape,
        n_elements=count,
        n_bytes=_n_bytes(tensor, path) if count else 0,
        id=ids.get(id(tensor)) if kind == "parameter" else None,
        is_trainable=kind == "parameter" and tensor.requires_grad,
        shared_with=shared_with,
    )


def _n_bytes(tensor: Tensor, path: str) -> int:
    """Return the bytes of the values; for a wrapper of tensors, those of its parts."""
    within = [part for _, part in tensors_within(tensor, path) if not is_wrapper(part)]
    return sum(part.numel() * part.dtype.itemsize for part in within)


def _any_param(param: object) -> bool:
    return True


def _shape_of(tensor: Tensor) -> tuple[int, ...] | None:
    # A nested tensor's shape is not only of numbers, and a lazy one has none.
    is_shapeless = nn.parameter.is_lazy(tensor) or tensor.is_nested
    return None if is_shapeless else tuple(tensor.shape)
