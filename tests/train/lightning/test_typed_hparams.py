"""The class of hyperparameters follows from the type parameter."""

import pytest
import torch

from burnish.config import ConfigError, Hparams
from burnish.train import (
    Model,
    ModelHparams,
)

from .models import SHORT_RUNS, Net, Width

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


def test_a_model_has_typed_hyperparameters_from_a_dict_or_an_object() -> None:
    assert Net({"d": 3}).thparams == Width(d=3)
    assert Net(Width(d=4)).thparams.d == 4
    for wrong in (None, "x", ModelHparams(), Hparams()):
        with pytest.raises(TypeError, match="takes Width or a dict"):
            Net(wrong)
    with pytest.raises(ConfigError, match=r"dd: unknown field.*Did you mean 'd'"):
        Net({"dd": 3})


def test_a_subclass_uses_the_type_of_its_parent() -> None:
    class Child(Net):
        pass

    class Untyped(Model):  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument]  # wrong on purpose
        pass

    assert Child({"d": 7}).thparams == Width(d=7)
    with pytest.raises(TypeError, match=r"class Untyped\(Model\[MyHparams\]\)"):
        Untyped({})
