"""Lightning and accelerate take an adaptor as the optimizer that it is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, StepLR
from torch.utils.data import DataLoader, TensorDataset

from burnish.optim import (
    LBFGS,
    AdamW,
    ClipGlobalNorm,
    Group,
    Muon,
    OptimizerAdaptor,
    ScheduleFreeAdamW,
)
from burnish.optim.schedulers import Cosine

from ..lightning_warnings import LIGHTNING_WARNINGS
from .nets import UserAdamW, distance, equal, layers, values

pytestmark = [pytest.mark.usefixtures("quiet_lightning"), *LIGHTNING_WARNINGS]

Build = Callable[[nn.Module], Any]


class Automatic(LightningModule):
    """Lightning steps, clips and advances the schedule."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.net = layers()
        self.build = build

    def loss(self, batch: Any) -> Tensor:
        (x,) = batch
        error: Tensor = (self.net(x) - x[:, :4]).square().mean()
        return error

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def configure_optimizers(self) -> Any:
        return self.build(self)


class Manual(Automatic):
    """The user steps, clips and advances the schedule."""

    def __init__(self, build: Build) -> None:
        super().__init__(build)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:  # type: ignore[override]  # manual steps return nothing
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        self.clip_gradients(optimizer, 0.1, "norm")
        optimizer.step()
        schedule: Any = self.lr_schedulers()
        schedule.step()


class Alternating(Automatic):
    """Two optimizers take turns, as those of adversarial networks do."""

    def __init__(self, build: Build) -> None:
        super().__init__(build)
        self.automatic_optimization = False
        self.critic = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))

    def training_step(self, batch: Any, batch_idx: int) -> Any:  # type: ignore[override]  # manual steps return nothing
        optimizers: Any = self.optimizers()
        losses = (self.loss(batch), self.critic(self.net(batch[0])).square().mean())
        for optimizer, loss in zip(optimizers, losses, strict=True):
            self.toggle_optimizer(optimizer)
            optimizer.zero_grad()
            self.manual_backward(loss, retain_graph=True)
            self.untoggle_optimizer(optimizer)
        for optimizer in optimizers:
            optimizer.step()


def two_optimizers(module: Any) -> Any:
    """Return one of several groups, and one that a schedule of ours steers."""
    groups = [Group("2.weight", optimizer=Muon(), lr=0.02)]
    first = AdamW().bind(module.net, lr=1e-2, groups=groups)
    return [first, UserAdamW().bind(module.critic, lr=Cosine(0.1, 30))]


def batches() -> Any:
    generator = torch.Generator().manual_seed(1)
    return DataLoader(TensorDataset(torch.randn(40, 8, generator=generator)), 8)


def trainer(folder: Path, epochs: int, **options: Any) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=options.pop("logger", False),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        log_every_n_steps=1,
        **options,
    )


def with_schedule(
    make: Callable[[nn.Module], torch.optim.Optimizer],
) -> Build:
    """Return what gives Lightning an optimizer, and a schedule of torch by step."""

    def build(module: nn.Module) -> Any:
        optimizer = make(module)
        schedule = StepLR(optimizer, 4, 0.5)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    return build


def ours(module: nn.Module) -> OptimizerAdaptor:
    return AdamW().bind(module, lr=1e-2, fused=False)


def theirs(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), lr=1e-2, foreach=False)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Automatic, {"gradient_clip_val": 0.1}),
        (Automatic, {"gradient_clip_val": 0.05, "gradient_clip_algorithm": "value"}),
        (Automatic, {"accumulate_grad_batches": 2}),
        (Manual, {}),
    ],
)
def test_lightning_trains_with_an_adaptor_as_with_the_optimizer_of_torch(
    kind: type[Automatic], options: dict[str, Any], tmp_path: Path
) -> None:
    left, right = kind(with_schedule(ours)), kind(with_schedule(theirs))
    before = values(left)

    for model in (left, right):
        trainer(tmp_path, 2, **options).fit(model, batches())

    assert not torch.equal(before[0], values(left)[0])
    assert distance(left, right) <= 2e-6


def test_two_optimizers_of_manual_steps_train_as_those_of_torch(
    tmp_path: Path,
) -> None:
    parts = ("net", "critic")
    left = Alternating(lambda m: [ours(getattr(m, part)) for part in parts])
    torch.manual_seed(0)
    right = Alternating(lambda m: [theirs(getattr(m, part)) for part in parts])
    right.load_state_dict(left.state_dict())
    before = values(left)

    for model in (left, right):
        trainer(tmp_path, 2).fit(model, batches())

    assert not any(map(torch.equal, before, values(left)))
    assert distance(left, right) <= 2e-6


def many_groups(module: nn.Module) -> OptimizerAdaptor:
    groups = [
        Group("**.2.weight", optimizer=Muon(), lr=0.02),
        Group("**.bias", weight_decay=0.0),
    ]
    return AdamW().bind(module, lr=1e-2, groups=groups, clip=ClipGlobalNorm(0.1))


def own_schedule(module: nn.Module) -> OptimizerAdaptor:
    return UserAdamW().bind(module, lr=Cosine(0.1, 30))


def cycled(module: nn.Module) -> Any:
    optimizer = UserAdamW().bind(module, lr=1e-2)
    schedule = OneCycleLR(optimizer, 0.1, total_steps=40)
    return [optimizer], [{"scheduler": schedule, "interval": "step"}]


@pytest.mark.parametrize(
    ("kind", "build"),
    [
        (Automatic, with_schedule(ours)),
        (Automatic, with_schedule(many_groups)),
        (Automatic, own_schedule),
        (Automatic, cycled),
        (Manual, with_schedule(ours)),
        (Manual, cycled),
        (Alternating, two_optimizers),
    ],
)
def test_a_run_resumed_by_lightning_ends_with_the_bits_of_an_uninterrupted_one(
    kind: type[Automatic], build: Build, tmp_path: Path
) -> None:
    whole, part, resumed = kind(build), kind(build), kind(build)

    straight = trainer(tmp_path, 4)
    straight.fit(whole, batches())
    first = trainer(tmp_path, 2)
    first.fit(part, batches())
    first.save_checkpoint(tmp_path / "half.ckpt")
    second = trainer(tmp_path, 4)
    second.fit(resumed, batches(), ckpt_path=str(tmp_path / "half.ckpt"))

    # Lightning counts the steps of each optimizer.
    assert second.global_step == straight.global_step == 20 * len(second.optimizers)
    assert not equal(part, whole)
    assert equal(whole, resumed)
    rates = [
        [g["lr"] for optimizer in t.optimizers for g in optimizer.param_groups]
        for t in (straight, second)
    ]
    assert rates[0] == rates[1]


def test_lightning_trains_in_mixed_precision(tmp_path: Path) -> None:
    model = Automatic(own_schedule)
    x = next(iter(batches()))
    before = model.loss(x).item()

    trainer(tmp_path, 4, precision="bf16-mixed").fit(model, batches())

    assert model.loss(x).item() < 0.7 * before
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_whole_module_optimizers_get_the_closure_of_lightning(tmp_path: Path) -> None:
    model = Automatic(lambda module: LBFGS(line_search_fn="strong_wolfe").bind(module))
    oracle = Automatic(
        lambda module: torch.optim.LBFGS(
            module.parameters(), line_search_fn="strong_wolfe"
        )
    )
    before = values(model)

    trainer(tmp_path, 1).fit(model, batches())
    trainer(tmp_path, 1).fit(oracle, batches())

    assert not all(map(torch.equal, before, values(model)))
    assert equal(model, oracle)


def test_callbacks_of_lightning_find_what_they_look_for(tmp_path: Path) -> None:
    from lightning.pytorch.callbacks import (
        LearningRateMonitor,
        StochasticWeightAveraging,
    )
    from lightning.pytorch.loggers import CSVLogger

    monitor = LearningRateMonitor("step", log_momentum=True, log_weight_decay=True)
    averaging = StochasticWeightAveraging(0.05, swa_epoch_start=2, annealing_epochs=1)
    model = Automatic(many_groups)
    run = trainer(
        tmp_path, 4, logger=CSVLogger(tmp_path), callbacks=[monitor, averaging]
    )

    run.fit(model, batches())

    names = [f"lr-OptimizerAdaptor/pg{i}" for i in (1, 2, 3)]
    assert [monitor.lrs[name][0] for name in names] == [0.01, 0.02, 0.01]
    decays = [run.callback_metrics[f"{name}-weight_decay"].item() for name in names]
    assert decays == pytest.approx([0.01, 0.1, 0.0])
    assert [g["lr"] for g in run.optimizers[0].param_groups] == [0.05] * 3


@pytest.fixture
def accelerator() -> Iterator[Any]:
    from accelerate import Accelerator  # type: ignore[import-untyped]  # accelerate declares nothing
    from accelerate.state import (  # type: ignore[import-untyped]  # accelerate declares nothing
        AcceleratorState,
        GradientState,
        PartialState,
    )

    yield Accelerator(cpu=True, gradient_accumulation_steps=2)
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()  # pyright: ignore[reportPrivateUsage]  # as its own tests end


def accelerated(accelerator: Any, net: nn.Module, optimizer: Any) -> tuple[Any, ...]:
    schedule = StepLR(optimizer, 2, 0.5)
    found: tuple[Any, ...] = accelerator.prepare(net, optimizer, batches(), schedule)
    return found


def epoch(
    accelerator: Any, net: Any, optimizer: Any, loader: Any, schedule: Any
) -> None:
    for (x,) in loader:
        with accelerator.accumulate(net):
            accelerator.backward((net(x) - x[:, :4]).square().mean())
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(net.parameters(), 0.1)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


def test_accelerate_steps_an_adaptor_as_the_optimizer_of_torch(
    accelerator: Any,
) -> None:
    left, right = layers(), layers()
    before = values(left)

    for net, optimizer in ((left, ours(left)), (right, theirs(right))):
        epoch(accelerator, *accelerated(accelerator, net, optimizer))

    assert not torch.equal(before[0], left[0].weight)
    assert distance(left, right) <= 2e-6


# StepLR sets a rate beside the optimizer's own schedule, which is warned of.
@pytest.mark.filterwarnings("ignore:group 0. its learning rate was set")
@pytest.mark.parametrize("make", [ours, many_groups, own_schedule])
def test_a_state_saved_by_accelerate_goes_on_to_the_bit(
    accelerator: Any, make: Build, tmp_path: Path
) -> None:
    net = layers()
    prepared = accelerated(accelerator, net, make(net))
    epoch(accelerator, *prepared)
    accelerator.save_state(str(tmp_path))
    epoch(accelerator, *prepared)
    after = values(net)

    accelerator.load_state(str(tmp_path))
    epoch(accelerator, *prepared)

    assert all(torch.equal(a, b) for a, b in zip(after, values(net), strict=True))


def test_accelerate_moves_averaged_weights_to_eval_and_back(accelerator: Any) -> None:
    net = layers()
    prepared = accelerated(accelerator, net, ScheduleFreeAdamW().bind(net, lr=0.1))
    epoch(accelerator, *prepared)
    trained = values(net)

    prepared[1].eval()
    averaged = values(net)
    prepared[1].train()

    assert not torch.equal(trained[0], averaged[0])
    assert torch.allclose(trained[0], values(net)[0], atol=1e-6)
