"""The Trainer of transformers takes an adaptor, its checkpoints included."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from burnish.optim import AdamW, ClipGlobalNorm, Group, Muon, ScheduleFreeAdamW
from burnish.optim.schedulers import Cosine

from .nets import UserAdamW, distance, equal, layers

transformers: Any = pytest.importorskip("transformers")

# The Trainer's loader asks for pinned memory, which this machine may not have.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
    # It collects garbage at each start and end.
    pytest.mark.usefixtures("quick_collections"),
]

Bind = Callable[[nn.Module], torch.optim.Optimizer]


class Regression(nn.Module):
    """Returns its loss, as the models of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = layers()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        predicted = self.net(self.dropout(x))
        return {"loss": (predicted - labels).square().mean(), "logits": predicted}


class Rows(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Forty rows that are always the same."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(40, 8, generator=generator)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.x[index], "labels": self.x[index, :4]}


def trainer(
    folder: Path, optimizer: torch.optim.Optimizer, model: nn.Module, **options: Any
) -> Any:
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=8,
        num_train_epochs=2,
        save_strategy="steps",
        save_steps=4,
        max_grad_norm=0.5,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        logging_strategy="no",
        **options,
    )
    schedule = LambdaLR(optimizer, lambda step: 0.9**step)
    return transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=Rows(),
        optimizers=(optimizer, schedule),
    )


def trained(
    folder: Path, bind: Bind, *, resume: str | None = None, **options: Any
) -> Regression:
    model = Regression()
    run = trainer(folder, bind(model), model, **options)
    run.train(resume_from_checkpoint=resume)
    return model


def many_groups(module: nn.Module) -> torch.optim.Optimizer:
    groups = [
        Group("**.2.weight", optimizer=Muon(), lr=0.02),
        Group("**.bias", weight_decay=0.0),
    ]
    return AdamW().bind(module, lr=1e-2, groups=groups, clip=ClipGlobalNorm(0.1))


BINDS: dict[str, Bind] = {
    "AdamW": lambda net: AdamW().bind(net, lr=0.01),
    "compiled": lambda net: UserAdamW().bind(net, lr=0.01, fused=True),
    "groups": many_groups,
    "schedule": lambda net: UserAdamW().bind(net, lr=Cosine(0.1, 30)),
    "averages": lambda net: ScheduleFreeAdamW().bind(net, lr=0.1),
}


def test_it_trains_as_with_the_optimizer_of_torch(tmp_path: Path) -> None:
    ours = trained(tmp_path / "ours", BINDS["AdamW"])
    theirs = trained(
        tmp_path / "theirs", lambda net: torch.optim.AdamW(net.parameters(), lr=0.01)
    )

    assert distance(ours, Regression()) > 1e-3
    assert distance(ours, theirs) <= 2e-6


# The Trainer's own schedule sets rates too, and that of the optimizer wins.
@pytest.mark.filterwarnings("ignore:group 0. its learning rate:RuntimeWarning")
@pytest.mark.parametrize("name", BINDS)
def test_a_run_resumed_from_its_checkpoint_ends_with_the_same_bits(
    name: str, tmp_path: Path
) -> None:
    whole = trained(tmp_path, BINDS[name])

    resumed = trained(tmp_path, BINDS[name], resume=str(tmp_path / "checkpoint-4"))

    assert equal(whole, resumed)
