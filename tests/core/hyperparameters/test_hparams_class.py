"""`Net.Hparams`: made from the signature, or declared and then checked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from torch import nn

from burnish.config import Hparam, Hparams
from burnish.core import Module, get_hparams, module
from burnish.core.errors import HyperparameterError


class Made(Module):
    def __init__(  # type: ignore[no-untyped-def]  # as people write it
        self,
        width: int,
        act: nn.Module,
        *sizes: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        mode: Literal["a", "b"] = "a",
        rate: float = None,  # type: ignore[assignment]  # noqa: RUF013  # as people write it
        pads: tuple[int, int] = (1, 2),
        undeclared=3,  # noqa: ANN001  # pyright: ignore[reportMissingParameterType]  # so
        **options: str,
    ) -> None:
        super().__init__()
        self.act = act


def test_the_type_has_a_field_for_each_argument() -> None:
    typed = Made.Hparams(width=3, act={})

    assert dict(typed) == {
        "width": 3,
        "act": {},
        "sizes": [],
        "dtype": "torch.float32",
        "device": None,
        "mode": "a",
        "rate": None,
        "pads": (1, 2),
        "undeclared": 3,
        "options": {},
    }
    assert issubclass(Made.Hparams, Hparams)
    assert Made.Hparams is Made.Hparams
    assert Made.Hparams.__qualname__ == "Made.Hparams"


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", "x"), ("act", 3), ("mode", "c"), ("pads", (1, 2, 3)), ("dtype", 3)],
)
def test_the_type_refuses_what_is_not_declared(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Made.Hparams(**{"width": 3, "act": {}} | {name: value})


def test_the_type_reads_the_dict_and_the_file_of_a_module(tmp_path: Path) -> None:
    net = Made(3, nn.ReLU(), 4, 5, rate=0.5)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(net.hparams))

    typed = Made.Hparams.from_dict(net.hparams)

    assert (typed.width, typed.sizes, typed.rate) == (3, [4, 5], 0.5)
    assert Made.Hparams.load(file, overrides=["rate=0.25"]).rate == 0.25
    assert get_hparams(Made.from_hyperparameters(typed)) == net.hparams


def test_a_subclass_has_a_type_of_its_own() -> None:
    class Sub(Made):
        def __init__(self, depth: int = 1) -> None:
            super().__init__(3, nn.ReLU())

    assert dict(Sub.Hparams()) == {"depth": 1}


def test_arguments_of_any_name_are_fields() -> None:
    class Odd(Module):
        def __init__(
            self, keys: int = 1, model_config: int = 2, _weight: int = 3
        ) -> None:
            super().__init__()

    typed = Odd.Hparams(keys=4)

    assert dict(typed) == {"keys": 4, "model_config": 2, "_weight": 3}
    assert get_hparams(Odd(**typed))["keys"] == 4


class Checked(Module):
    built = 0

    def __init__(
        self,
        width: Annotated[int, Hparam(ge=1)] = 64,
        rate: Annotated[float, Hparam(ge=0, le=1)] = 0.5,
        loose: int = 1,
    ) -> None:
        super().__init__()
        Checked.built += 1


def test_bounds_in_the_signature_are_checked_before_the_constructor_runs() -> None:
    Checked.built = 0

    with pytest.raises(ValueError, match=r"Checked: width: .*1.*; rate: .*1.* found 2"):
        Checked(0, rate=2)

    assert Checked.built == 0


def test_annotations_without_bounds_are_no_check() -> None:
    loose: Any = "x"

    assert Checked(3, 1, loose).hparams["loose"] == "x"


@pytest.mark.parametrize("width", ["3", 3.5, True, None])
def test_a_checked_argument_is_what_it_says(width: Any) -> None:
    with pytest.raises(ValueError, match="width"):
        Checked(width)


@module
class OwnType(nn.Module):
    class Hparams(Hparams):
        dim: int = Hparam(64, ge=1)
        heads: int = 4

        def model_post_init(self, _: Any) -> None:
            if self.dim % self.heads:
                raise ValueError(f"heads {self.heads} do not divide dim {self.dim}")

    def __init__(self, dim: int = 64, heads: int = 4, fn: Any = None) -> None:
        super().__init__()
        self.lin = nn.Linear(dim, dim // heads)


def test_a_type_that_the_class_gives_is_its_type_and_checks() -> None:
    net: Any = OwnType(12, heads=3, fn=print)

    assert OwnType.Hparams(dim=8).dim == 8
    assert net.lin.out_features == 4
    with pytest.raises(ValueError, match=r"dim: .*greater"):
        OwnType(0)
    with pytest.raises(ValueError, match="heads 5 do not divide dim 12"):
        OwnType(12, 5)


def test_wrong_hyperparameters_in_a_file_are_refused_with_their_path() -> None:
    hparams = get_hparams(OwnType(12, heads=3))
    hparams["dim"] = -3
    read: Any = OwnType

    with pytest.raises(HyperparameterError, match=r"dim: .*greater"):
        read.from_hyperparameters(hparams)


def test_an_object_as_the_argument_is_not_the_signature() -> None:
    class Settings(Hparams):
        width: int = Hparam(3, ge=1)

    class Net(Module):
        Hparams = Settings

        def __init__(self, hparams: Settings) -> None:
            super().__init__()
            self.lin = nn.Linear(hparams.width, 1)

    net = Net(Settings(width=5))

    assert net.hparams["hparams"] == {"width": 5}
    assert Net.from_hyperparameters(net.hparams).lin.in_features == 5


def test_pydantic_is_loaded_when_a_type_is_asked_for() -> None:
    code = (
        "import sys, torch\n"
        "from burnish.core import module\n"
        "@module\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, a: int = 1):\n"
        "        super().__init__()\n"
        "Net.from_hyperparameters(Net(2).hparams)\n"
        "before = 'pydantic' in sys.modules\n"
        "Net.Hparams\n"
        "print(before, 'pydantic' in sys.modules)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["False", "True"]
