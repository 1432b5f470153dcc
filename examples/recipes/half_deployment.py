"""Train in float32, ship half the bytes, serve in the dtype that the server likes.

python half_deployment.py
"""

from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import burnish
from burnish.optim import AdamW


class Net(burnish.Module):
    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU())
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x))


def main() -> dict[str, float]:
    """Return the accuracy of each way to use the file."""
    data, target = load_digits(return_X_y=True)
    x, y = torch.tensor(data).float() / 16, torch.tensor(target)
    torch.manual_seed(0)
    net = Net()
    optimizer = AdamW().bind(net, lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    net.eval().save_record("full.mpk")
    # Parameters are rounded chunk by chunk; buffers would keep their bits.
    net.save_record("half.mpk", precision="half")
    sizes = [Path(name).stat().st_size for name in ("full.mpk", "half.mpk")]
    print(f"{sizes[0]:,} bytes in full, {sizes[1]:,} in half")

    as_built = Net.from_record("half.mpk")  # float32 again: what the class says
    as_stored = Net.from_record(burnish.open_record("half.mpk", dtype="stored"))
    for_cpu = Net.from_record(burnish.open_record("half.mpk", dtype=torch.bfloat16))

    accuracies: dict[str, float] = {}
    served = {"built": as_built, "stored": as_stored, "bfloat16": for_cpu}
    for name, module in served.items():
        module.eval()
        dtype = module.head.weight.dtype
        with torch.inference_mode():
            hits = module(x.to(dtype)).argmax(1) == y
        accuracies[name] = hits.float().mean().item()
        print(f"{name}: {dtype}, accuracy {accuracies[name]:.3f}")
    return accuracies


if __name__ == "__main__":
    main()
