"""What does it cost to save and to load an optimizer's state, verified?

AdamW over 124 M parameters; the peer is torch.save and torch.load of its state dict.
"""

from pathlib import Path
from typing import Any

import torch
from harness import Row, race, scratch
from optim_sets import Parameters, gpt2

from burnish.optim import AdamW


def run() -> list[Row]:
    torch.set_num_threads(1)
    net, twin = Parameters(gpt2()), Parameters(gpt2())
    ours = AdamW().bind(net, lr=1e-3)
    peer: Any = torch.optim.AdamW(twin.parameters(), lr=1e-3, fused=True)
    ours.step()
    peer.step()
    case = "AdamW, GPT-2"
    with scratch() as folder:
        mine, theirs = f"{folder}/optim.mpk", f"{folder}/optim.pt"
        saved = race(
            {
                "ours": lambda: ours.save_record(mine),
                "peer": lambda: torch.save(peer.state_dict(), theirs),
            },
            before=lambda: remove(mine, theirs),
        )
        ours.save_record(mine)
        torch.save(peer.state_dict(), theirs)
        loaded = race(
            {
                "ours": lambda: ours.load_record(mine),
                "peer": lambda: peer.load_state_dict(torch.load(theirs)),
            }
        )
    return [
        Row.timed("save", case, saved["ours"], saved["peer"], at_most=0.75),
        Row.timed("load", case, loaded["ours"], loaded["peer"], at_most=1.1),
    ]


def remove(*files: str) -> None:
    for file in files:
        Path(file).unlink(missing_ok=True)
