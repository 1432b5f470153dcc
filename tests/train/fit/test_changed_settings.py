"""Settings that are not defaults, by their paths; what is drawn anew is none."""

import random
from typing import Any

from burnish.config import Hparam, Hparams
from burnish.config.hparams import define_hparams
from burnish.train import OptimizerHparams
from burnish.train.fit.changed_settings import changed_settings


class Rate(Hparams):
    start: float = 0.1
    end: float = 0.0


class Part(Hparams):
    name: str
    width: int = 4
    rate: Rate = Rate()
    later: Rate | None = None
    options: dict[str, Any] = Hparam(default_factory=dict)
    optimizer: OptimizerHparams | None = None
    seed: int = Hparam(default_factory=lambda: random.randrange(1 << 60))


def changes_of(**values: Any) -> dict[str, tuple[str, str]]:
    sections = {name: Part(name="x") for name in ("data_config", "run_config")}
    arguments: dict[str, Any] = {"name": "x", "seed": 1, **values}
    part = Part(**arguments)
    kinds: Any = {"model_config": Part, "data_config": Part, "run_config": Part}
    file = define_hparams("File", {k: (v, ...) for k, v in kinds.items()})(
        model_config=part, **sections
    )
    return {
        setting.path.removeprefix("model_config."): (setting.value, setting.default)
        for setting in changed_settings(file)
        if setting.path.startswith("model_config.")
    }


def test_what_has_no_default_is_always_told() -> None:
    assert changes_of() == {
        "name": ("x", ""),
        "seed": ("1", "drawn again for each run"),
    }


def test_numbers_that_the_optimizer_has_by_default_are_no_change() -> None:
    kwargs = {"lr": 0.5, "momentum": 0, "dampening": 0}
    changes = changes_of(
        optimizer=OptimizerHparams(module_name="torch.optim.SGD", kwargs=kwargs)
    )

    assert changes["optimizer.kwargs.lr"] == ("0.5", "0.001")
    assert "optimizer.kwargs.momentum" not in changes


def test_only_what_differs_is_told_however_deep() -> None:
    changes = changes_of(
        width=5,
        rate=Rate(end=1.0),
        later=Rate(start=2.0),
        options={"a": {"b": 1, "c": []}},
    )

    assert changes["width"] == ("5", "4")
    assert changes["rate.end"] == ("1.0", "0.0")
    assert changes["later.start"] == ("2.0", "0.1")
    assert changes["options.a.b"] == ("1", "")
    assert "rate.start" not in changes
