import pytest
from torch import nn

import burnish
from burnish.core.blueprint import Blueprint

from .models import Coder


def test_an_assignment_to_a_blueprint_is_an_error_that_says_how_to_change_it() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))

    with pytest.raises(AttributeError, match=r"^Sequential: 'x' is not set.*configure"):
        bp.x = nn.ReLU()
    with pytest.raises(
        AttributeError, match=r"^0: 'bias' is not .*configure\(bias=..."
    ):
        bp[0].bias = False


def test_what_only_modules_have_is_told_on_one_line() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))

    with pytest.raises(AttributeError, match=r"^Sequential has no .*bp.build\(\)"):
        _ = bp.parameters


class AnyNames(burnish.Module):
    """Takes arguments under names that methods have for theirs."""

    def __init__(self, /, cls: int = 1, **others: int) -> None:
        super().__init__()
        self.cls, self.others = cls, others


def test_arguments_called_as_those_of_methods_are_configured_like_all() -> None:
    blueprint = AnyNames.blueprint(cls=2, self=3)

    assert blueprint.create().others == {"self": 3}

    built = blueprint.configure(cls=4, self=5).build()

    assert (built.cls, built.others) == (4, {"self": 5})


@pytest.fixture
def coder() -> Blueprint[Coder]:
    return Blueprint(Coder)


LAYERS = [f"{side}.{i}.layer" for side in ("encoder", "decoder") for i in range(4)]


def test_filters_by_class_attribute_and_predicate(coder: Blueprint[Coder]) -> None:
    everything = coder[...]

    assert everything.isinstance(nn.Linear).list_names() == LAYERS
    assert everything.hasattr("out_features").list_names() == LAYERS
    odd = everything.filter(lambda name, part: "1" in name and part.cls is nn.ReLU)
    assert odd.list_names() == ["encoder.1.activation", "decoder.1.activation"]


def test_selections_compose_and_name_parts_by_attribute(
    coder: Blueprint[Coder],
) -> None:
    assert coder["encoder|decoder"][0].layer.list_names() == [
        "encoder.0.layer",
        "decoder.0.layer",
    ]
    assert coder.encoder[1:3].activation.all.list_names() == [
        "encoder.1.activation",
        "encoder.2.activation",
    ]
    assert coder[..., "layer"].first.list_names() == ["encoder.0.layer"]
    assert [part.cls for part in coder.encoder[:2].layer] == [nn.Linear] * 2
    assert len(coder["encoder"]) == 1


def test_an_unknown_attribute_lists_the_nearest(coder: Blueprint[Coder]) -> None:
    with pytest.raises(AttributeError, match=r"'encodr'.*Did you mean 'encoder'"):
        _ = coder.encodr
