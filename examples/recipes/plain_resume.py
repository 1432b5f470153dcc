"""Resume in plain torch: model, optimizer, scheduler, data and generators.

python plain_resume.py      # stop it at any moment, run it again
"""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn

from burnish.train import Checkpoints, ResumableLoader


def main(n_steps: int = 60, folder: str = "runs/plain", stop_at: int = -1) -> nn.Module:
    """Return the network after ``n_steps``; or leave it where a kill would."""
    pixels, target = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels).float() / 16, torch.tensor(target)
    data = torch.utils.data.TensorDataset(x, y)

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=20, gamma=0.5)
    loader = ResumableLoader(data, batch_size=64, shuffle=True, seed=0)

    checkpoints = Checkpoints(folder, keep_last=2)
    parts: dict[str, Any] = {
        "model": net,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "loader": loader,
    }
    step = checkpoints.restore(**parts, rng=True)  # 0: nothing yet
    print(f"begun at step {step}")
    while step < n_steps:
        for inputs, labels in loader:  # from where the checkpoint was
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
            scheduler.step()
            step += 1
            if step % 5 == 0:
                checkpoints.save(step, **parts, rng=True, loss=loss)
            if step in (n_steps, stop_at):
                break
        if step == stop_at:
            return net
    print(f"ended at step {step}")
    return net


if __name__ == "__main__":
    main()
