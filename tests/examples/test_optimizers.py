"""Optimizers written as plugins: their references, their files, and what they learn."""

import copy
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # scikit-learn declares nothing
from torch import Tensor, nn
from torch.nn import functional

from burnish.optim import ClipGlobalNorm, engine_report

with warnings.catch_warnings():
    # It imports what a newer torch deprecates.
    warnings.simplefilter("ignore")
    import pytorch_optimizer

EXAMPLES = Path(__file__).parents[2] / "examples" / "optimizers"
PEERS: Any = pytorch_optimizer
STEPS = 40


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def plugins() -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield {
            "SOAP": importlib.import_module("soap").SOAP,
            "Prodigy": importlib.import_module("prodigy").Prodigy,
        }


RATES = {"SOAP": 1e-2, "Prodigy": 1.0}


def tensor_of(*shape: int, dtype: torch.dtype = torch.float32) -> Any:
    generator = torch.Generator().manual_seed(len(shape))
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    return nn.ParameterList([values.to(dtype)])


def drive(optimizer: torch.optim.Optimizer, net: nn.Module, *seeds: int) -> None:
    """Step towards ones along noisy gradients, one for each seed."""
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for parameter in net.parameters():
            noise = torch.randn(
                parameter.shape, generator=generator, dtype=torch.float64
            )
            parameter.grad = (noise + parameter.detach() - 1.0).to(parameter)
        optimizer.step()


def apart(left: nn.Module, right: nn.Module) -> float:
    (a,), (b,) = left.parameters(), right.parameters()
    return float((a.detach() - b.detach().view_as(a)).abs().max())


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "betas": (0.8, 0.9)}])
@pytest.mark.parametrize("shape", [(9,), (), (6, 6), (3, 40), (4, 3, 2, 2)])
def test_soap_is_its_reference(
    plugins: dict[str, Any], shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    flat = (shape[0], 12) if len(shape) == 4 else shape
    ours, theirs = tensor_of(*shape), tensor_of(*shape)
    theirs[0] = nn.Parameter(theirs[0].detach().reshape(flat))
    # What only rounding tells apart has any eigenvectors: a side that is longer than
    # the other is left out.
    limit = min(flat) if len(flat) == 2 else 10_000
    adaptor = plugins["SOAP"](frequency=3, max_side=limit, **options).bind(
        ours, lr=1e-2
    )
    reference = PEERS.SOAP(
        theirs.parameters(),
        lr=1e-2,
        precondition_frequency=3,
        max_precondition_dim=limit,
        **{"weight_decay": 0.01, **options},
    )

    drive(adaptor, ours, *range(STEPS))
    drive(reference, theirs, *range(STEPS))

    assert apart(ours, tensor_of(*shape)) > 0.05
    assert apart(ours, theirs) <= 2e-5


@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1, "betas": (0.8, 0.99), "d_coef": 2.0}]
)
@pytest.mark.parametrize("shape", [(9,), (), (6, 5)])
def test_prodigy_is_its_reference_on_one_tensor(
    plugins: dict[str, Any], shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    ours, theirs = tensor_of(*shape), tensor_of(*shape)
    adaptor = plugins["Prodigy"](**options).bind(ours, lr=1.0)
    reference = PEERS.Prodigy(theirs.parameters(), lr=1.0, **options)

    drive(adaptor, ours, *range(STEPS))
    drive(reference, theirs, *range(STEPS))

    found = adaptor.state[ours[0]]["d"].item()
    assert found > 1e-4
    assert found == pytest.approx(reference.param_groups[0]["d"], rel=1e-4)
    assert apart(ours, theirs) <= 1e-4 * apart(ours, tensor_of(*shape))


def test_every_tensor_has_a_distance_of_its_own(plugins: dict[str, Any]) -> None:
    net = nn.ParameterList([torch.zeros(4), torch.zeros(4), torch.zeros(4)])
    adaptor = plugins["Prodigy"]().bind(net, lr=1.0)

    for _ in range(STEPS):
        for parameter, goal in zip(net, (1.0, 100.0, 0.0), strict=True):
            parameter.grad = parameter.detach() - goal
        adaptor.step()

    near, far, there = (float(adaptor.state[p]["d"]) for p in net)
    assert far > 10 * near > 10 * there
    assert torch.equal(net[2], torch.zeros(4))


class Digits(nn.Module):
    """Matrices, convolutions and vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2)
        self.norm = nn.GroupNorm(2, 8)
        self.head = nn.Linear(72, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.conv(images)).relu()
        logits: Tensor = self.head(features.flatten(1))
        return logits


def digits() -> tuple[Tensor, Tensor]:
    found: Any = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)[:, None] / 16
    # The writers come one after the other.
    mixed = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[mixed], torch.tensor(found.target)[mixed]


def train(net: nn.Module, optimizer: Any, batches: range) -> None:
    images, labels = digits()
    for i in batches:
        chosen = torch.arange(64 * i, 64 * i + 64) % 1500
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(images[chosen]).float(), labels[chosen])
        loss.backward()  # type: ignore[no-untyped-call]  # torch's has no types
        optimizer.step()


@torch.no_grad()
def accuracy(net: nn.Module) -> float:
    images, labels = digits()
    return float((net(images[1500:]).argmax(1) == labels[1500:]).float().mean())


def net_of(dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    return Digits().to(dtype)


@pytest.mark.parametrize("name", RATES)
def test_plugins_learn_to_read_digits(plugins: dict[str, Any], name: str) -> None:
    net = net_of()
    optimizer = plugins[name]().bind(net, lr=RATES[name], clip=ClipGlobalNorm(10.0))
    before = accuracy(net)

    train(net, optimizer, range(240))

    assert before < 0.3
    assert accuracy(net) > 0.9


@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize("saved_after", [0, 1, 14])
@pytest.mark.parametrize("name", RATES)
def test_a_saved_and_resumed_plugin_goes_on_to_the_bit(
    plugins: dict[str, Any],
    name: str,
    saved_after: int,
    fused: bool | None,
    tmp_path: Path,
) -> None:
    straight = net_of()
    broken = copy.deepcopy(straight)
    first, second, third = (
        plugins[name]().bind(net, lr=RATES[name], fused=fused)
        for net in (straight, broken, broken)
    )

    train(straight, first, range(saved_after + 12))
    train(broken, second, range(saved_after))
    second.save_record(tmp_path / "optim.mpk")
    report = third.load_record(tmp_path / "optim.mpk")
    train(broken, third, range(saved_after, saved_after + 12))

    pairs = zip(straight.parameters(), broken.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert report.changed == []


@pytest.mark.parametrize("name", RATES)
def test_what_is_not_elementwise_runs_as_it_is_written(
    plugins: dict[str, Any], name: str
) -> None:
    net = net_of()
    optimizer = plugins[name]().bind(net, lr=RATES[name])

    train(net, optimizer, range(2))

    assert {row.engine for row in engine_report(optimizer)} == {"loop"}


@pytest.mark.parametrize("name", RATES)
def test_half_a_precision_is_stepped_with_state_of_full_precision(
    plugins: dict[str, Any], name: str
) -> None:
    net = net_of(torch.bfloat16)
    optimizer = plugins[name]().bind(net, lr=RATES[name], state_dtype=torch.float32)
    images, labels = digits()

    for i in range(13):
        optimizer.zero_grad()
        chosen = slice(64 * i, 64 * i + 64)
        logits = net(images[chosen].bfloat16()).float()
        functional.cross_entropy(logits, labels[chosen]).backward()  # type: ignore[no-untyped-call]  # torch's has no types
        optimizer.step()

    kept = [v for s in optimizer.state.values() for v in s.values()]
    dtypes = {v.dtype for v in kept if isinstance(v, Tensor)}
    assert dtypes == {torch.float32}
    assert all(p.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("SOAP", {"frequency": 0}, "frequency must be at least 1, got 0"),
        ("SOAP", {"betas": (0.9, 1.0)}, r"betas\[1\] must be in"),
        ("Prodigy", {"d0": 0.0}, "d0 and d_coef must be above 0, got 0.0"),
        ("Prodigy", {"eps": -1.0}, "eps must be at least 0, got -1.0"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(
    plugins: dict[str, Any], name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        plugins[name](**options)


def test_the_language_model_learns_in_every_way_of_half_precision() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        example = importlib.import_module("half_precision")
    training, validation, n_characters = example.corpus()

    with pytest.MonkeyPatch.context() as patch:
        shorter = (training, validation[:4096], n_characters)
        patch.setattr(example, "corpus", lambda: shorter)
        losses = {way: example.trained(way, 0, 12, lr=3e-3) for way in example.WAYS}

    best = losses["float32"]
    assert best < 4.5
    assert all(abs(loss / best - 1) < 0.1 for loss in losses.values())
