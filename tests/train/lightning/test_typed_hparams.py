"""The class of hyperparameters follows from the type parameter."""

import logging
from collections.abc import Iterator

import pytest
import torch

from burnish.config import ConfigError, Hparams
from burnish.train import (
    Model,
    ModelHparams,
)

from .models import Net, Width

torch.set_num_threads(1)


pytestmark = [
    # Lightning's own use of a class that torch renamed.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
    # Lightning proposes more worker processes for every loader that has none.
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*:Warning"),
    # Lightning notes that logs are written every 50 steps and tests have fewer.
    pytest.mark.filterwarnings("ignore:.*number of training batches.*:Warning"),
    # The folder of checkpoints is not empty when a run is resumed.
    pytest.mark.filterwarnings("ignore:.*exists and is not empty.*:Warning"),
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)
    torch.set_float32_matmul_precision("highest")


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
