"""Write on paper what checkpoints of 70 and 405 billion parameters cost.

`python tools/scale_model.py` renews the table in `docs/scale.md`, between its marks.
Nothing here is run at that size: rates that were measured on 2 processes, or that a
storage publishes, are multiplied.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs/scale.md"
BEGIN, END = "<!-- scale_model: begin -->\n", "<!-- scale_model: end -->\n"
PROCESSES = (8, 64, 512, 1024)

BYTES_PER_PARAM = 14
"""bfloat16 weights, and float32 master weights and two moments."""
TENSORS_PER_PARAM = 4
PER_NODE = 8
"""Processes that share a disk."""

CPU_RATE, DISK_RATE = 2.19e9, 1.78e9
"""Bytes a second: what a process converts, hashes and writes; what a disk takes."""
INDEX_ROW, INDEX_FILE = 50, 80
"""Bytes of the index for each tensor and each file."""

PLAN_ITEM, PLAN_SECONDS = 182, 100e-6
"""What torch.distributed.checkpoint gathers on one process for each tensor of each
process, in bytes, and the time that it takes there."""

STREAM, PUT_RATE = 87e6, 3_500
"""Bytes a second of one upload; requests a second that one prefix of S3 takes."""
LEAST_PART, MOST_PARTS = 8 << 20, 9_000


@dataclass(frozen=True, slots=True)
class Model:
    """A transformer in the sizes of its kind."""

    name: str
    n_params: float
    n_layers: int

    @property
    def n_tensors(self) -> int:
        """Of weights and optimizer state: nine weights a layer, and three more."""
        return TENSORS_PER_PARAM * (9 * self.n_layers + 3)


MODELS = (Model("70 B", 70.6e9, 80), Model("405 B", 405.9e9, 126))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One save of a model by some processes, each of which has an equal share."""

    model: Model
    n_processes: int

    @property
    def share(self) -> float:
        """Bytes of each process."""
        return self.model.n_params * BYTES_PER_PARAM / self.n_processes

    @property
    def n_items(self) -> int:
        """How many shares of tensors there are."""
        return self.model.n_tensors * self.n_processes

    @property
    def index(self) -> int:
        """Bytes of the index of a folder."""
        return INDEX_ROW * self.model.n_tensors + INDEX_FILE * self.n_processes

    @property
    def n_requests(self) -> int:
        """How many parts all processes upload together."""
        part = max(LEAST_PART, self.share / MOST_PARTS)
        return self.n_processes * -int(-self.share // part)

    def seconds(self) -> dict[str, float]:
        """Return how long each thing takes that could be the slowest."""
        n_per_disk = min(PER_NODE, self.n_processes)
        return {
            "CPU": self.share / CPU_RATE,
            "the disk": n_per_disk * self.share / DISK_RATE,
            "DCP's plan": self.n_items * PLAN_SECONDS,
            "one stream a process": self.share / STREAM,
            "requests a prefix": self.n_requests / PUT_RATE,
        }


def first_to_break(seconds: dict[str, float], *names: str) -> str:
    """Return which of ``names`` takes longest."""
    return max(names, key=lambda name: seconds[name])


def table() -> str:
    """Return the table in Markdown."""
    return "".join(f"| {' | '.join(row)} |\n" for row in (_HEAD, _RULE, *_rows()))


_HEAD = (
    "model, processes",
    "a process",
    "CPU",
    "disk of 8",
    "index",
    "DCP gathers",
    "DCP's plan",
    "upload, one stream",
    "PUTs",
    "at 3,500 a second",
    "slowest to disks",
    "the same with DCP",
    "slowest to S3",
)
_RULE = ("---",) + ("--:",) * 9 + ("---",) * 3


def _rows() -> Iterator[tuple[str, ...]]:
    for model in MODELS:
        for n_processes in PROCESSES:
            yield _row(Checkpoint(model, n_processes))


def _row(saved: Checkpoint) -> tuple[str, ...]:
    seconds = saved.seconds()
    return (
        f"{saved.model.name}, {saved.n_processes:,}",
        f"{saved.share / 1e9:.3g} GB",
        _duration(seconds["CPU"]),
        _duration(seconds["the disk"]),
        f"{saved.index / 1e6:.2f} MB",
        f"{saved.n_items * PLAN_ITEM / 1e6:,.0f} MB",
        _duration(seconds["DCP's plan"]),
        _duration(seconds["one stream a process"]),
        f"{saved.n_requests / 1e3:,.1f} k",
        _duration(seconds["requests a prefix"]),
        first_to_break(seconds, "CPU", "the disk"),
        first_to_break(seconds, "CPU", "the disk", "DCP's plan"),
        first_to_break(seconds, "one stream a process", "requests a prefix"),
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"


def table_in(page: str) -> str:
    """Return the table that ``page`` has between the marks."""
    return page.partition(BEGIN)[2].partition(END)[0]


def renewed(page: str) -> str:
    """Return ``page`` with the table of now."""
    return page.replace(BEGIN + table_in(page) + END, BEGIN + table() + END)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
