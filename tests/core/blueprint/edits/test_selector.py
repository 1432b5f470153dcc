from typing import Any

import pytest

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import SettingError

from ..models import Coder


@pytest.fixture
def coder() -> Blueprint[Coder]:
    return Blueprint(Coder)


LAYERS = [f"{side}.{i}.layer" for side in ("encoder", "decoder") for i in range(4)]


E0, E1, E2 = "encoder.0", "encoder.1", "encoder.2"


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        pytest.param("encoder", ["encoder"], id="name"),
        pytest.param("encoder|decoder", ["encoder", "decoder"], id="either name"),
        pytest.param(("encoder", slice(2)), [E0, E1], id="slice"),
        pytest.param(
            ("encoder|decoder", slice(2)),
            [E0, E1, "decoder.0", "decoder.1"],
            id="slice of either",
        ),
        pytest.param((..., "layer"), LAYERS, id="any depth"),
        pytest.param(
            ("encoder", 0, ...), [E0, f"{E0}.layer", f"{E0}.activation"], id="all below"
        ),
        pytest.param(
            ("encoder", ..., "layer#0"), [f"{E0}.layer"], id="index of matches"
        ),
        pytest.param(("encoder", ..., "layer#0:2"), LAYERS[:2], id="slice of matches"),
        pytest.param(
            ("encoder", ..., "layer#::2"), LAYERS[0:4:2], id="step of matches"
        ),
        pytest.param(
            ("encoder", ..., "layer#1:3:2"), [f"{E1}.layer"], id="slice with step"
        ),
        pytest.param((..., "activation#-1"), ["decoder.3.activation"], id="last match"),
        pytest.param(
            (..., "layer|activation#:2"),
            [f"{E0}.layer", f"{E0}.activation"],
            id="slice of either match",
        ),
        pytest.param(
            (..., "layer#:2, activation#:2"),
            [f"{E0}.layer", f"{E1}.layer", f"{E0}.activation", f"{E1}.activation"],
            id="one after the other",
        ),
        pytest.param(
            ("encoder|decoder", ..., "layer#0"),
            [f"{E0}.layer", "decoder.0.layer"],
            id="index of matches in each branch",
        ),
        pytest.param(
            ("encoder|decoder", ..., "layer#:2, activation#:1"),
            [
                *(f"{E0}.layer", f"{E1}.layer", f"{E0}.activation"),
                *("decoder.0.layer", "decoder.1.layer", "decoder.0.activation"),
            ],
            id="one after the other in each branch",
        ),
        pytest.param(
            ("encoder", slice(2), "layer|activation#-1"),
            [f"{E0}.activation", f"{E1}.activation"],
            id="last of either in each item",
        ),
        pytest.param("encoder.*.layer", LAYERS[:4], id="pattern"),
        pytest.param("**.layer", LAYERS, id="deep pattern"),
        pytest.param(("encoder", [0, 2]), [E0, E2], id="indices"),
        pytest.param(("encoder", -1), ["encoder.3"], id="from the end"),
        pytest.param("nothing", [], id="nothing"),
    ],
)
def test_a_selector_means_these_paths(
    coder: Blueprint[Coder], selector: Any, names: list[str]
) -> None:
    assert coder[selector].list_names() == names


@pytest.mark.parametrize("selector", [1.5, True, ("encoder", None)])
def test_a_selector_of_a_wrong_type_is_refused(
    coder: Blueprint[Coder], selector: Any
) -> None:
    with pytest.raises(TypeError, match="a selector must be a name"):
        coder[selector]


@pytest.mark.parametrize("selector", [["encoder", "decoder"], slice("encoder", None)])
def test_a_list_or_slice_of_paths_is_refused_with_what_means_several(
    coder: Blueprint[Coder], selector: Any
) -> None:
    with pytest.raises(TypeError, match=r'holds positions.* one string: "encoder'):
        coder.configure(selector, bias=False)


@pytest.mark.parametrize("selector", ["layer#x", "layer#1:2:3:4", "layer##"])
def test_what_follows_a_number_sign_is_a_number_or_a_slice(
    coder: Blueprint[Coder], selector: str
) -> None:
    with pytest.raises(SettingError, match="#n"):
        coder[..., selector]
