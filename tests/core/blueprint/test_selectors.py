from typing import Any

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import SettingError

from .models import Coder


@pytest.fixture
def coder() -> Blueprint[Coder]:
    return Blueprint(Coder)


LAYERS = [f"{side}.{i}.layer" for side in ("encoder", "decoder") for i in range(4)]
E0, E1, E2 = "encoder.0", "encoder.1", "encoder.2"


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        pytest.param("encoder", ["encoder"], id="e1"),
        pytest.param("encoder|decoder", ["encoder", "decoder"], id="e2"),
        pytest.param(("encoder", slice(2)), [E0, E1], id="e3"),
        pytest.param(
            ("encoder|decoder", slice(2)), [E0, E1, "decoder.0", "decoder.1"], id="e4"
        ),
        pytest.param((..., "layer"), LAYERS, id="e5"),
        pytest.param(
            ("encoder", 0, ...), [E0, f"{E0}.layer", f"{E0}.activation"], id="e6"
        ),
        pytest.param(("encoder", ..., "layer#0"), [f"{E0}.layer"], id="e7 index"),
        pytest.param(("encoder", ..., "layer#0:2"), LAYERS[:2], id="e7 slice"),
        pytest.param(("encoder", ..., "layer#::2"), LAYERS[0:4:2], id="e7 step"),
        pytest.param(("encoder", ..., "layer#1:3:2"), [f"{E1}.layer"], id="e7 all"),
        pytest.param((..., "activation#-1"), ["decoder.3.activation"], id="e7 last"),
        pytest.param(
            (..., "layer|activation#:2"), [f"{E0}.layer", f"{E0}.activation"], id="e8"
        ),
        pytest.param(
            (..., "layer#:2, activation#:2"),
            [f"{E0}.layer", f"{E1}.layer", f"{E0}.activation", f"{E1}.activation"],
            id="e8 comma",
        ),
        pytest.param("encoder.*.layer", LAYERS[:4], id="pattern"),
        pytest.param("**.layer", LAYERS, id="deep pattern"),
        pytest.param(("encoder", [0, 2]), [E0, E2], id="indices"),
        pytest.param(("encoder", -1), ["encoder.3"], id="from the end"),
        pytest.param("nothing", [], id="nothing"),
    ],
)
def test_to_e8_a_selector_means_these(
    coder: Blueprint[Coder], selector: Any, names: list[str]
) -> None:
    assert coder[selector].list_names() == names


def test_filters_by_class_attribute_and_predicate(coder: Blueprint[Coder]) -> None:
    everything = coder[...]

    assert everything.isinstance(nn.Linear).list_names() == LAYERS
    assert everything.hasattr("out_features").list_names() == LAYERS
    odd = everything.filter(lambda name, part: "1" in name and part.cls is nn.ReLU)
    assert odd.list_names() == ["encoder.1.activation", "decoder.1.activation"]


def test_configure_reaches_every_match_and_no_other(
    coder: Blueprint[Coder],
) -> None:
    coder["encoder", :2, "activation"].configure(nn.Tanh)
    coder[..., "layer#-1"].configure(bias=False)
    module = coder.build()

    kinds = [type(m.activation) for m in (*module.encoder, *module.decoder)]  # type: ignore[union-attr]  # layers
    assert kinds == [nn.Tanh] * 2 + [nn.ReLU] * 6
    biases = [m.layer.bias is None for m in (*module.encoder, *module.decoder)]  # type: ignore[union-attr]  # layers
    assert biases == [False] * 7 + [True]


def test_an_empty_selection_is_an_error_unless_it_is_allowed(
    coder: Blueprint[Coder],
) -> None:
    with pytest.raises(SettingError, match="no module is constructed"):
        coder["encoder", 7:, "layer"].configure(bias=False)

    coder["encoder", 7:, "layer"].configure(bias=False, allow_empty=True)


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


@pytest.mark.parametrize("selector", [1.5, True, ("encoder", None)])
def test_a_selector_of_a_wrong_type_is_refused(
    coder: Blueprint[Coder], selector: Any
) -> None:
    with pytest.raises(TypeError, match="a selector is a name"):
        coder[selector]


@pytest.mark.parametrize("selector", ["layer#x", "layer#1:2:3:4", "layer##"])
def test_what_follows_a_number_sign_is_a_number_or_a_slice(
    coder: Blueprint[Coder], selector: str
) -> None:
    with pytest.raises(SettingError, match="#n"):
        coder[..., selector]


def test_an_unknown_attribute_lists_the_nearest(coder: Blueprint[Coder]) -> None:
    with pytest.raises(AttributeError, match=r"'encodr'.*Did you mean 'encoder'"):
        _ = coder.encodr
