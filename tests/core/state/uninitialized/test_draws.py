"""What a constructor draws waits like an initializer."""

import pytest
import torch
from torch import nn

from burnish.core import from_record, into_record
from burnish.core.state.uninitialized.tensor_functions import KINDS, NOTED, RANDOM

from .built import seeded, sevens

pytestmark = pytest.mark.usefixtures("poisoned_memory")


class Reseeds(nn.Module):
    """Draws a plain tensor after a layer, from generators in a state of its own."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.before = nn.Linear(2, 2)
        match how:
            case "manual_seed":
                torch.manual_seed(0)
                self.draw()
            case "the seed that it had":
                torch.manual_seed(torch.initial_seed())
                self.draw()
            case "fork_rng":
                with torch.random.fork_rng():
                    torch.manual_seed(0)
                    self.draw()
            case "fork_rng without a seed":
                with torch.random.fork_rng():
                    self.draw()
            case "set_rng_state":
                state = torch.get_rng_state()
                self.draw()
                torch.set_rng_state(state)
            case "default_generator":
                state = torch.default_generator.get_state()
                torch.default_generator.manual_seed(0)
                self.draw()
                torch.default_generator.set_state(state)
            case "a generator of its own":
                self.draw(torch.Generator().manual_seed(0))
            case _:
                self.draw()

    def draw(self, generator: torch.Generator | None = None) -> None:
        self.l = nn.Linear(2, 2)
        nn.init.normal_(self.l.weight, generator=generator)
        self.noise = torch.randn(3, generator=generator)


@pytest.mark.parametrize(
    "how",
    [
        *("manual_seed", "the seed that it had", "fork_rng", "fork_rng without a seed"),
        *("set_rng_state", "default_generator", "a generator of its own", "no seed"),
    ],
)
def test_what_a_constructor_draws_is_what_it_draws_without_a_record(how: str) -> None:
    expected = seeded(lambda: Reseeds(how))
    record = into_record(sevens(lambda: Reseeds(how)))

    loaded = seeded(lambda: from_record(lambda: Reseeds(how), record))

    assert torch.equal(loaded.noise, expected.noise)
    assert torch.equal(loaded.l.weight, torch.full((2, 2), 7.0))


def test_a_parameter_made_of_random_numbers_waits_for_its_record_too() -> None:
    n_built = 0

    class Drawn(nn.Module):
        def __init__(self) -> None:
            nonlocal n_built
            super().__init__()
            self.l = nn.Linear(2, 2)
            self.token = nn.Parameter(torch.randn(1, 3))
            n_built += type(self.l.weight) is nn.Parameter

    record = into_record(sevens(Drawn))
    n_built, before = 0, torch.get_rng_state()

    loaded = from_record(Drawn, record)

    assert loaded.token.tolist() == [[7.0, 7.0, 7.0]]
    assert n_built == 0
    assert torch.equal(torch.get_rng_state(), before)


STEADY = (
    "zero_ ones_ zeros_ eye_ erfinv_ sqrt_ exp_ log_ neg_ abs_ sign_ tanh_"
    " sigmoid_ round_ floor_ tril_ triu_"
)


def test_every_initializer_that_draws_is_known_to_draw() -> None:
    for function in (f for f, kind in KINDS.items() if kind is NOTED):
        name = function.__name__
        is_alone = function in RANDOM or name in STEADY.split()
        before = torch.get_rng_state()
        if name not in ("__setitem__", "dirac_"):
            args = () if is_alone and name not in ("sparse_", "geometric_") else (0.5,)
            function(torch.full((4, 4), 0.5), *args)

        draws = not torch.equal(before, torch.get_rng_state())
        assert draws == (function in RANDOM), name
