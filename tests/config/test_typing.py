from dataclasses import dataclass
from typing import Any, assert_type

from burnish.config import Hparam, Hparams, Schedule, command, dumps, load, loads
from burnish.config.schedule import at


class Net(Hparams):
    width: int = Hparam(default=1, ge=1)


@dataclass
class Data:
    n: int = 1


@command(Data)
def main(data: Data) -> int:
    return data.n


def test_what_is_loaded_has_the_type_that_was_asked_for() -> None:
    net = load(Net, {"width": 2})
    data = loads(Data, "(n: 3)")

    assert_type(net, Net)
    assert_type(net.width, int)
    assert_type(net["width"], Any)
    assert_type(Net.from_dict({}), Net)
    assert_type(data, Data)
    assert_type(at(data, {}), Data)
    assert_type(dumps(data), str)
    assert_type(Schedule.parse("x: 1@0")(3), float)
    assert_type(main(["n=5"]), int)
    assert (net.width, data.n, main(["n=5"])) == (2, 3, 5)
