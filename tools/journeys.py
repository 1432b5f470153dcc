"""Which functions of a checkout a journey enters, in the order of their first call.

    python tools/journeys.py FOLDER OF A CHECKOUT JOURNEY...

Prints a line for each journey, pairs of file and function as JSON. Every journey was
taken once before, but the first step of an optimizer, which plans.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

FOLDERS = ("config", "records", "core", "optim", "train", "cli")


def main() -> None:
    """Take the journeys that the arguments name."""
    root = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(root / "src"))
    with tempfile.TemporaryDirectory() as folder:
        calls = journeys(Path(folder))
        for journey in sys.argv[2:]:
            print(json.dumps(_functions_of(calls[journey], root)))


def journeys(folder: Path) -> dict[str, Callable[[], object]]:
    """Return what to call for each journey; ``folder`` takes its files."""
    import torch

    import burnish
    from burnish.optim import AdamW
    from burnish.train import Checkpoints

    @burnish.module
    class Net(torch.nn.Module):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.first = torch.nn.Linear(width, width)
            self.second = torch.nn.Linear(width, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.second(self.first(x))
            return output

    net: Any = Net()
    other: Any = Net()
    unstepped: Any = Net()
    net_class: Any = Net
    optimizer = AdamW().bind(net, lr=1e-3)
    other_optimizer = AdamW().bind(other, lr=1e-3)
    file, checkpoints = folder / "net.mpk", Checkpoints(folder / "run")
    first_optimizer = AdamW().bind(unstepped, lr=1e-3)
    net(torch.ones(1, 4)).sum().backward()
    unstepped(torch.ones(1, 4)).sum().backward()
    net.save_record(file)
    net_class.from_record(file)
    net_class.blueprint().configure("second", bias=False)
    optimizer.step()
    checkpoints.save(1, model=net, optim=optimizer)
    return {
        "save": lambda: net.save_record(file, precision="half"),
        "load": lambda: net_class.from_record(file),
        "step": first_optimizer.step,
        "configure": lambda: net_class.blueprint().configure("first", bias=False),
        "configure and build": lambda: (
            net_class.blueprint().configure("first", bias=False).build()
        ),
        "restore": lambda: checkpoints.restore(model=other, optim=other_optimizer),
    }


def _functions_of(call: Callable[[], object], root: Path) -> list[tuple[str, str]]:
    folders = tuple(f"{root / folder}/" for folder in FOLDERS)
    entered: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        # A comprehension and a lambda are lines of the function around them, and an
        # import runs the body of a file.
        if event != "call" or code.co_name.startswith("<"):
            return
        file = _resolved(code.co_filename)
        if file.startswith(folders):
            entered[file.removeprefix(f"{root}/"), code.co_qualname] = None

    sys.setprofile(note)
    call()
    sys.setprofile(None)
    return [*entered]


@cache
def _resolved(file: str) -> str:
    return str(Path(file).resolve())


if __name__ == "__main__":
    main()
