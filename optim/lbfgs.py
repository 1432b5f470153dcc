"""LBFGS over a whole module: torch's algorithm, with state that is a record."""

from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor, nn

from ..records.errors import RecordMismatchError
from ..records.record import Record
from ..records.report import LoadReport
from .binding import Binding

if TYPE_CHECKING:
    from ..records.sink import Destination


class LBFGSRecord(Record):
    """The curvature seen so far, over all parameters laid end to end."""

    paths: list[str]
    ids: list[str]
    sizes: list[int]
    """How many elements of the vectors belong to each parameter."""
    hyperparameters: dict[str, Any]
    values: dict[str, Any]


class LBFGS(torch.optim.LBFGS):
    """Quasi-Newton steps (Liu and Nocedal, 1989); `step` takes a closure.

    It is no simple optimizer: one step evaluates the loss several times, and its
    state belongs to all parameters together. Frozen parameters stay as they are.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: Literal["strong_wolfe"] | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]  # torch's habit is parameters
            raise TypeError(
                f"LBFGS takes the module, got {type(module).__name__}: "
                "LBFGS(net, line_search_fn='strong_wolfe')"
            )
        self._binding = Binding(module)
        super().__init__(
            [param.tensor for param in self._binding.params],
            lr=lr,
            max_iter=max_iter,
            max_eval=max_eval,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
            history_size=history_size,
            line_search_fn=line_search_fn,
        )

    def into_record(self) -> LBFGSRecord:
        """Return the state; it refers to the live tensors."""
        held = self._binding.current()
        stored = self.state.get(held[0].tensor, {})
        group = self.param_groups[0]
        return LBFGSRecord(
            paths=[param.path for param in held],
            ids=[param.id for param in held],
            sizes=[_size(param.tensor) for param in held],
            hyperparameters={k: v for k, v in group.items() if k != "params"},
            # "al" is scratch that every step writes anew.
            values={k: v for k, v in stored.items() if k != "al" and v is not None},
        )

    @overload
    def save_record(self, **options: Any) -> bytes: ...

    @overload
    def save_record(self, file: "Destination", **options: Any) -> None: ...

    def save_record(self, *args: Any, **kwargs: Any) -> bytes | None:
        """Write `into_record` to a file, or return bytes, as `Record.save` does."""
        written: bytes | None = self.into_record().save(*args, **kwargs)
        return written

    def load_record(
        self, source: Any, *, hyperparameters: Literal["keep", "restore"] = "keep"
    ) -> LoadReport:
        """Take over stored curvature; parameters are matched by ID, then by path.

        Raises RecordMismatchError, with nothing changed, unless every parameter is
        there with its size.
        """
        is_record = isinstance(source, LBFGSRecord)
        record = source if is_record else LBFGSRecord.load(source)
        order = self._order(record)
        values = {k: _moved(v, record.sizes, order) for k, v in record.values.items()}
        report = LoadReport(loaded=[param.path for param in self._binding.current()])
        report.verified = "live" if is_record else "all"
        group = self.param_groups[0]
        for name, value in record.hyperparameters.items():
            if hyperparameters == "restore":
                group[name] = value
            elif group.get(name) != value:
                report.changed.append(f"{name} is {group.get(name)}, and was {value}")
        self.state.clear()
        if values:
            device = group["params"][0].device
            self.state[group["params"][0]] = {
                k: _to(v, device) for k, v in values.items()
            }
        return report

    def _order(self, record: LBFGSRecord) -> list[int]:
        """Return where each held parameter stands in the record."""
        by_id = {param_id: i for i, param_id in enumerate(record.ids)}
        by_path = {path: i for i, path in enumerate(record.paths)}
        order: list[int] = []
        problems: list[str] = []
        for param in self._binding.current():
            at = by_id.get(param.id, by_path.get(param.path))
            size = _size(param.tensor)
            if at is None:
                problems.append(f"{param.path}: not stored")
            elif record.sizes[at] != size:
                problems.append(
                    f"{param.path}: stored with {record.sizes[at]} elements, the "
                    f"parameter has {size}"
                )
            else:
                order.append(at)
        if not problems and len(order) != len(record.sizes):
            problems.append(
                f"stored for {len(record.sizes)} parameters, and there are {len(order)}"
            )
        if problems:
            raise RecordMismatchError("LBFGS record", problems)
        return order

    def __getstate__(self) -> dict[str, Any]:
        kept = vars(self)
        names = (
            "defaults",
            "state",
            "param_groups",
            "_binding",
            "_params",
            "_numel_cache",
        )
        return {name: kept[name] for name in names}


def _size(tensor: Tensor) -> int:
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def _moved(value: Any, sizes: list[int], order: list[int]) -> Any:
    """Return vectors over all parameters in the order of the held ones."""
    if isinstance(value, list):
        return [_moved(item, sizes, order) for item in value]  # pyright: ignore[reportUnknownVariableType]  # tensors and numbers
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value.clone() if isinstance(value, Tensor) else value
    parts = torch.split(value, sizes)
    return torch.cat([parts[i] for i in order])


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [_to(item, device) for item in value]  # pyright: ignore[reportUnknownVariableType]  # tensors and numbers
    return value.to(device) if isinstance(value, Tensor) else value
