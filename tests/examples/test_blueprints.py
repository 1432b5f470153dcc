import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # scikit-learn declares nothing
from torch import nn

import burnish

EXAMPLES = Path(__file__).parents[2] / "examples"
NETWORKS = ["mlp", "encoder_decoder", "resnet", "vit"]


@pytest.fixture(scope="module")
def examples() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield importlib.import_module("blueprint_reconfigured")
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    found: Any = load_digits()
    x = torch.tensor(found.images[:48], dtype=torch.float32)[:, None] / 16
    return x, torch.tensor(found.target[:48])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_reconfigured_network_learns_and_reopens(
    examples: Any, digits: Any, name: str, tmp_path: Path
) -> None:
    x, y = digits
    torch.manual_seed(0)
    net = getattr(examples, name)().create()

    losses = examples.train(net, x, examples.loss_of(name, x, y))
    net.save_pretrained(tmp_path)
    again = type(net).from_pretrained(tmp_path)

    assert losses[-1] < losses[0]
    assert [type(m) for m in again.modules()] == [type(m) for m in net.modules()]
    assert torch.equal(again.eval()(x), net.eval()(x))


def kinds(net: Any, cls: type[nn.Module]) -> int:
    return sum(isinstance(module, cls) for module in net.modules())


def test_the_patterns_reach_what_they_name(examples: Any) -> None:
    mlp, resnet = examples.mlp().create(), examples.resnet().create()
    vit, coder = examples.vit().create(), examples.encoder_decoder().create()

    assert (kinds(mlp, nn.SiLU), kinds(mlp, nn.ReLU), mlp.head.in_features) == (
        3,
        0,
        16,
    )
    assert (kinds(resnet, nn.ELU), kinds(resnet, nn.MaxPool2d)) == (16, 0)
    assert (kinds(vit, nn.RMSNorm), kinds(vit, nn.LayerNorm)) == (6, 1)
    assert vit.blocks[2].grow.out_features == vit.blocks[2].shrink.in_features == 64
    assert (kinds(coder, nn.GroupNorm), kinds(coder, nn.LeakyReLU)) == (5, 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_is_an_ordinary_module_under_80_lines(name: str) -> None:
    text = (EXAMPLES / f"blueprint_{name}.py").read_text(encoding="utf-8")
    imports = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)]

    assert len(text.splitlines()) < 80
    assert not any("blueprint" in (node.module or "") for node in imports)


def test_resnet_is_that_of_the_paper(examples: Any) -> None:
    from burnish.core.blueprint import Blueprint

    blueprint = Blueprint(examples.ResNet18)
    with torch.device("meta"):
        n_parameters = sum(p.numel() for p in blueprint.create().parameters())

    assert n_parameters == 11_689_512


@pytest.mark.parametrize("name", ["plain", "residual"])
def test_a_unet_of_styled_blocks_learns_and_reopens(
    examples: Any, name: str, tmp_path: Path
) -> None:
    unet = importlib.import_module("blueprint_unet")
    torch.manual_seed(0)
    images, masks = unet.discs(8)
    net = getattr(unet, name)().build(images)

    losses = unet.train(net, images, masks, n_steps=20)
    burnish.save_record(net, tmp_path / "net.mpk")
    again = unet.UNet.from_record(tmp_path / "net.mpk")

    assert losses[-1] < 0.6 * losses[0]
    assert torch.equal(again.eval()(images), net.eval()(images))


def test_styles_of_a_unet_say_what_stands_where(examples: Any) -> None:
    unet = importlib.import_module("blueprint_unet")
    plain, residual = unet.plain(), unet.residual()

    names = [part.list_names()[0] for part in plain.encoder[1]]
    assert names == [
        f"encoder.1.{name}" for name in ("pool", "layer", "normalization", "activation")
    ]
    assert residual.bottom.cls is unet.Shortcut
    assert residual.isinstance(nn.SiLU).list_names()[-1] == "decoder.1.activation"
    assert len(residual.isinstance(nn.Upsample)) == 2
