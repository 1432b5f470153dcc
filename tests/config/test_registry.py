"""Tables that users register things in, while other threads read them."""

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

import burnish
from burnish.config.registry import Registry
from burnish.core.blueprint.edits.marks import register_style, styles_of
from burnish.core.hyperparameters.capture import builder_of
from burnish.core.modules.registry import known_classes, names_of
from burnish.optim.schedulers import Scheduler
from burnish.optim.schedulers.scheduler import scheduler_of
from burnish.records.format import Format, formats
from burnish.records.format_names import suffixes
from burnish.train.class_lookup import optimizer_named, register_named

pytestmark = pytest.mark.usefixtures("formats_as_before")


def test_who_iterates_sees_one_moment() -> None:
    registry: Registry[str, int] = Registry()
    registry.register("a", "b", value=1)

    seen = []
    for key, value in registry.items():
        registry.register(f"{key}{len(registry)}", value=2)
        seen.append((key, value))

    assert seen == [("a", 1), ("b", 1)]
    assert [*registry] == ["a", "b", "a2", "b3"]
    assert [*reversed(registry)] == ["b3", "a2", "b", "a"]


def new_class() -> type[nn.Module]:
    return type("Net", (nn.Module,), {})


class _Nothing(Format):
    name = "nothing"
    suffixes = (".nothing",)

    def encode(self, contents: Any, sink: Any, options: Any) -> None: ...

    def decode(self, source: Any) -> Any: ...


def register_format(n: int) -> None:
    cls: Any = type(f"F{n}", (_Nothing,), {"name": f"f{n}"})
    cls.register()


def unknown_schedule() -> None:
    with pytest.raises(ValueError, match="not the name of a known schedule"):
        scheduler_of({"kind": "none"})


TABLES: dict[str, tuple[Callable[[int], object], Callable[[], object]]] = {
    "classes": (
        lambda n: burnish.register_class(new_class(), name=f"registry test {n}"),
        lambda: (known_classes(), names_of(nn.Linear)),
    ),
    "hparams": (
        lambda n: burnish.register_hparams(new_class(), lambda net: {}),
        lambda: builder_of(nn.Linear),
    ),
    "styles": (
        lambda n: register_style(nn.Bilinear, f"s{n}")(lambda bp: None),
        lambda: styles_of(nn.Bilinear),
    ),
    "named": (
        lambda n: register_named(f"registry test {n}", nn.Linear),
        lambda: optimizer_named("SGD", may_import=False),
    ),
    "schedules": (
        lambda n: type(f"Schedule{n}", (Scheduler,), {}),
        unknown_schedule,
    ),
    "formats": (
        register_format,
        lambda: (suffixes(), [*formats()]),
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_read_while_others_register(
    table: str, request: pytest.FixtureRequest
) -> None:
    register, read = TABLES[table]
    interval = sys.getswitchinterval()
    request.addfinalizer(lambda: sys.setswitchinterval(interval))
    sys.setswitchinterval(1e-6)
    problems: list[BaseException] = []
    done = threading.Event()

    def guarded(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:
            problems.append(error)

    def write() -> None:
        try:
            for n in range(60):
                register(n)
        finally:
            # Whatever goes wrong here, the readers end.
            done.set()

    def read_on() -> None:
        while not done.is_set():
            read()

    threads = [threading.Thread(target=guarded, args=(read_on,)) for _ in range(2)]
    threads.append(threading.Thread(target=guarded, args=(write,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
