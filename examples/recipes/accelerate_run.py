"""accelerate prepares our optimizer as any other; records hold the results.

accelerate launch accelerate_run.py      # or python accelerate_run.py
"""

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn

import burnish
from burnish.optim import AdamW
from burnish.train import Checkpoints


class Net(burnish.Module):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def main(n_epochs: int = 2, folder: str = "runs/accelerate") -> float:
    """Train, save what the first process has, and return its accuracy."""
    pixels, target = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels).float() / 16, torch.tensor(target)
    data = torch.utils.data.TensorDataset(x, y)

    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    net = Net()
    optimizer = AdamW().bind(net, lr=1e-2)
    batches = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
    prepared, stepper, loader = accelerator.prepare(net, optimizer, batches)

    # The objects behind the wrappers are the parts: they are what is trained.
    checkpoints = Checkpoints(folder, keep_last=1)
    epoch = checkpoints.restore(model=net, optimizer=optimizer, rng=True)
    while epoch < n_epochs:
        for inputs, labels in loader:
            stepper.zero_grad()
            loss = nn.functional.cross_entropy(prepared(inputs), labels)
            accelerator.backward(loss)
            stepper.step()
        epoch += 1
        checkpoints.save(epoch, model=net, optimizer=optimizer, rng=True)

    if accelerator.is_main_process:
        accelerator.unwrap_model(prepared).save_record("net.mpk")
    accelerator.wait_for_everyone()
    with torch.no_grad():
        hits = Net.from_record("net.mpk").eval()(x).argmax(1) == y
    accelerator.print(f"accuracy {hits.float().mean():.3f}")
    return hits.float().mean().item()


if __name__ == "__main__":
    main()
