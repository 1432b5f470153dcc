"""Lightning: our optimizer and checkpoints, everything else as ever.

python lightning_run.py      # run it again, and it goes on
"""

import warnings
from pathlib import Path

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn

from burnish.optim import AdamW
from burnish.train import RecordCheckpoint, load_lightning


class Digits(lightning.LightningModule):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return AdamW(weight_decay=0.01).bind(self, lr=1e-2)


def main(n_epochs: int = 3, folder: str = "runs/lightning") -> float:
    """Train, load the best checkpoint, and return its accuracy."""
    pixels, target = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels).float() / 16, torch.tensor(target)
    data = torch.utils.data.TensorDataset(x, y)
    warnings.filterwarnings("ignore", category=UserWarning, module="lightning")

    keep = RecordCheckpoint(
        dirpath=folder, monitor="loss", save_top_k=1, save_last=True
    )
    trainer = lightning.Trainer(
        max_epochs=n_epochs,
        callbacks=[keep],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    torch.manual_seed(0)
    last = Path(folder, "last.ckpt")
    trainer.fit(
        Digits(width=48),
        torch.utils.data.DataLoader(data, batch_size=64, shuffle=True),
        ckpt_path=str(last) if last.exists() else None,
    )

    best = load_lightning(Digits, keep.best_model_path).eval()  # width=48 is stored
    with torch.no_grad():
        accuracy = (best.net(x).argmax(1) == y).float().mean().item()
    print(f"epoch {trainer.current_epoch}, accuracy {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
