"""Memory that is shared, read or drawn while a module is built without init."""

import asyncio
import copy
import pickle
import threading
import warnings
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack, to_dlpack  # type: ignore[attr-defined]  # it is there

import burnish
from burnish.core import from_record, into_record, report_of, skip_init
from burnish.core.state.tensor_functions import KINDS, NOTED, RANDOM, succeeds
from burnish.core.state.unfilled import UnfilledParameter

FORMATS = ["mpk", "mpk.zst", "json", "safetensors"]


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


class Views(nn.Module):
    """A weight whose memory is seen under many names."""

    flat: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(3, 3)
        self.register_buffer("flat", self.l.weight.data.view(-1), persistent=False)
        self.view = self.l.weight.detach()[1:]
        self.views = [self.l.weight.data.t()]
        self.array = self.l.bias.detach().numpy()


def sevens(factory: Callable[[], nn.Module] = Views) -> nn.Module:
    module = factory()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(7.0)
    return module


def seeded(factory: Callable[[], nn.Module]) -> Any:
    torch.manual_seed(4)
    return factory()


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_shows_the_memory_of_a_parameter_shows_its_stored_values(
    suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"net.{suffix}"
    burnish.save_record(sevens(), file)

    loaded = from_record(Views, file)

    for value in (loaded.flat, loaded.view, loaded.views[0]):
        assert torch.equal(value, torch.full_like(value, 7.0))
    assert loaded.array.tolist() == [7.0, 7.0, 7.0]
    storage = loaded.l.weight.untyped_storage().data_ptr()
    assert loaded.flat.untyped_storage().data_ptr() == storage
    assert loaded.view.data_ptr() == loaded.l.weight[1:].data_ptr()


def test_views_of_a_tensor_that_changes_its_dtype_have_the_values_and_are_reported(
    tmp_path: Path,
) -> None:
    burnish.save_record(sevens(), tmp_path / "net.mpk", exclude="flat")
    record = burnish.open_record(tmp_path / "net.mpk", dtype=torch.bfloat16)

    built = from_record(Views, record)
    living = Views()
    report = burnish.load_record(living, record)

    for module, told in ((built, report_of(built)), (living, report)):
        assert module.l.weight.dtype is torch.bfloat16
        assert module.view.dtype is torch.float32
        assert torch.equal(module.view, torch.full((2, 3), 7.0))
        assert told is not None
        assert any("l.weight: other tensors on its memory" in s for s in told.changed)


def test_part_of_a_larger_memory_is_filled_and_the_rest_is_initialized() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            both = nn.Parameter(torch.empty(6))
            nn.init.constant_(both, 1.0)
            self.low = nn.Parameter(both.data[:3])
            self.rest = both.data[3:]

    loaded = from_record(Packed, into_record(sevens(Packed)))

    assert loaded.low.tolist() == [7.0, 7.0, 7.0]
    assert loaded.rest.tolist() == [1.0, 1.0, 1.0]


def test_data_that_somebody_holds_beside_its_parameter_is_a_view_of_it() -> None:
    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.data = torch.empty(3)
            self.w = nn.Parameter(self.data)
            nn.init.constant_(self.w, 2.0)
            self.total = float(self.data.sum())

    loaded = from_record(Holds, into_record(sevens(Holds)))

    assert loaded.total == 6.0
    assert type(loaded.data) is Tensor
    assert loaded.data.data_ptr() == loaded.w.data_ptr()
    assert loaded.data.tolist() == [7.0, 7.0, 7.0]


def _sum(x: Tensor) -> Tensor:
    return x.sum()


def _converted(x: Tensor) -> Tensor:
    return x.to(torch.float64)


with warnings.catch_warnings():
    # Torch says that it is deprecated; modules that use it are still about.
    warnings.filterwarnings("ignore", ".*torch.jit")
    scripted: Callable[[Tensor], Tensor] = torch.jit.script(_sum)
    scripted_conversion: Callable[[Tensor], Tensor] = torch.jit.script(_converted)


READERS: dict[str, Callable[[Tensor], Any]] = {
    "vmap": lambda w: torch.vmap(torch.sum)(w),
    "grad": lambda w: torch.func.grad(lambda x: (x * x).sum())(w),
    "jacrev": lambda w: torch.func.jacrev(lambda x: x * x)(w),
    "jvp": lambda w: torch.func.jvp(torch.sin, (w,), (torch.ones(3, 3),))[0],
    "functional_call": lambda w: torch.func.functional_call(
        nn.Linear(3, 3, bias=False), {"weight": w}, (torch.ones(3),)
    ),
    "script": lambda w: scripted(w),
    "scripted conversion": lambda w: scripted_conversion(w),
    "trace": lambda w: torch.jit.trace(lambda x: x * 2, w)(w),  # type: ignore[no-untyped-call]  # torch's
    "compile": lambda w: torch.compile(lambda x: x * 2, backend="eager")(w),
    "ops": lambda w: torch.ops.aten.sum(w),
    "dlpack": lambda w: from_dlpack(w.detach()) * 1,
    "old dlpack": lambda w: from_dlpack(to_dlpack(w.detach())) * 1,
    "array": lambda w: torch.tensor(w.detach().numpy().tolist()),
    "storage": lambda w: torch.tensor(list(w.untyped_storage())),
    "typed storage": lambda w: torch.tensor(list(w.detach().numpy().flat)),
    "pickle": lambda w: pickle.loads(pickle.dumps(w)) * 1,
    "item": lambda w: torch.tensor(w[0, 0].item()),
    "iteration": lambda w: torch.stack(list(w)),
    "out": lambda w: torch.sin(w.detach(), out=torch.empty(3, 3)),
    "copy_": lambda w: torch.empty(3, 3).copy_(w.detach()),
    "autograd": lambda w: torch.autograd.grad((w * w).sum(), [w])[0],
    "as a set": lambda w: torch.stack([*{w}]),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("how", READERS)
def test_a_parameter_that_is_read_in_a_constructor_is_initialized(how: str) -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Linear(3, 3)
            self.l = nn.Linear(3, 3)
            self.seen = torch.as_tensor(READERS[how](self.l.weight)).detach()

    record, expected = into_record(sevens(Reads)), seeded(Reads)

    loaded = seeded(lambda: from_record(Reads, record))

    assert torch.equal(loaded.seen, expected.seen)
    assert torch.equal(loaded.l.weight, torch.full((3, 3), 7.0))


def test_a_raw_address_shows_every_later_value() -> None:
    import ctypes

    class Raw(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.empty(2))
            self.address = self.w.data_ptr()
            nn.init.constant_(self.w, 3.0)
            self.seen = self.peek()

        def peek(self) -> list[float]:
            return list((ctypes.c_float * 2).from_address(self.address))

    loaded = from_record(Raw, into_record(sevens(Raw)))

    assert loaded.seen == [3.0, 3.0]
    assert loaded.peek() == [7.0, 7.0]


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


ARGUMENTS: list[tuple[str, tuple[Any, ...], tuple[int, ...], torch.dtype]] = [
    (name, args, shape, dtype)
    for shape in [(2, 3), (3,), (2, 2, 2), (0, 2)]
    for dtype in (torch.float32, torch.float16, torch.int64)
    for name, args in [
        ("normal_", (0.0, 1.0)),
        ("normal_", (0.0, -1.0)),
        ("normal_", (0.0, float("nan"))),
        ("uniform_", (0.0, 1.0)),
        ("uniform_", (1.0, 0.0)),
        ("uniform_", (-1e38, 1e38)),
        ("uniform_", ("a",)),
        ("fill_", (1e10,)),
        ("fill_", (2,)),
        ("zero_", ()),
        ("zero_", (1,)),
        ("exponential_", (-1.0,)),
        ("geometric_", (2.0,)),
        ("cauchy_", (0.0, -1.0)),
        ("log_normal_", (0.0, -1.0)),
        ("clamp_", ()),
        ("mul_", (2.0,)),
        ("mul_", ("a",)),
        ("tril_", ()),
        ("erfinv_", ()),
        ("pow_", (2,)),
        ("div_", (2,)),
        ("__setitem__", (0, 1.0)),
        ("__setitem__", (5, 1.0)),
        ("fill_diagonal_", (1.0,)),
    ]
]


@pytest.mark.parametrize(("name", "args", "shape", "dtype"), ARGUMENTS)
def test_only_an_initializer_that_succeeds_is_noted(
    name: str, args: tuple[Any, ...], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    function = getattr(torch.Tensor, name)
    body = torch.zeros(shape, dtype=dtype)

    is_noted = succeeds(function, body, args, {})

    assert KINDS[function] is NOTED
    if is_noted:
        function(body, *args)


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


BAD: dict[str, Callable[[Tensor], Any]] = {
    "std": lambda w: w.normal_(0.0, -1.0),
    "bounds": lambda w: nn.init.uniform_(w, 2.0, 1.0),
    "dimensions": lambda w: nn.init.kaiming_uniform_(w[0]),
    "fan": lambda w: nn.init.xavier_uniform_(w[0]),
    "mode": lambda w: nn.init.kaiming_normal_(w, mode="no"),  # type: ignore[arg-type]  # the error under test
    "truncated": lambda w: nn.init.trunc_normal_(w, std=0.0),
    "index": lambda w: w.__setitem__(9, 1.0),
    "grad": lambda w: w.requires_grad_().normal_(),
    "expanded": lambda w: w[0].expand(3, 2).normal_(),
    "dtype": lambda w: nn.Parameter(w.long(), requires_grad=False).normal_(),
}


@pytest.mark.parametrize("how", BAD)
def test_an_initializer_that_is_refused_raises_where_it_is_called(how: str) -> None:
    class Tries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.empty(2, 2), requires_grad=False)
            self.branch = "first"
            try:
                BAD[how](self.w)
            except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
                self.branch = "other"
                nn.init.zeros_(self.w.detach())

    loaded = from_record(Tries, burnish.Record.from_state_dict({}), strict=False)

    assert loaded.branch == Tries().branch == "other"
    assert torch.equal(loaded.w, torch.zeros(2, 2))


def test_a_module_is_built_from_its_record_while_meta_is_the_default_device() -> None:
    record = into_record(sevens())

    with torch.device("meta"):
        loaded = from_record(Views, record)

    assert torch.equal(loaded.l.weight, torch.full((3, 3), 7.0))
    assert loaded.array.tolist() == [7.0, 7.0, 7.0]


MOMENTS = ("before", "inside", "after")


def patch(owner: Any, name: str, label: str, seen: list[str]) -> Callable[[], None]:
    """Wrap a function as other libraries do; return what takes the patch down."""
    inner: Any = getattr(owner, name)

    def patched(*args: Any, **kwargs: Any) -> Any:
        seen.append(label)
        return inner(*args, **kwargs)

    setattr(owner, name, patched)
    return lambda: setattr(owner, name, inner)


@pytest.mark.parametrize("order", [*permutations(MOMENTS)], ids="-".join)
@pytest.mark.parametrize(
    ("owner", "name", "use"),
    [
        (nn.Parameter, "__new__", lambda: nn.Parameter(torch.empty(2))),
        (
            nn.init,
            "_no_grad_trunc_normal_",
            lambda: nn.init.trunc_normal_(nn.Parameter(torch.empty(2))),
        ),
        (torch, "set_rng_state", lambda: torch.set_rng_state(torch.get_rng_state())),
    ],
)
def test_functions_of_torch_patched_by_others_stay_patched(
    owner: Any,
    name: str,
    use: Callable[[], Any],
    order: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, name, getattr(owner, name))
    seen: list[str] = []
    take_down = {"before": patch(owner, name, "before", seen)}
    with skip_init():
        take_down["inside"] = patch(owner, name, "inside", seen)
        use()
        assert isinstance(nn.Linear(2, 2).weight, UnfilledParameter)
        assert "inside" in seen
    take_down["after"] = patch(owner, name, "after", seen)

    seen.clear()
    use()
    assert set(seen) == set(MOMENTS)

    for label in order:
        take_down[label]()
        with skip_init():
            use()
            assert isinstance(nn.Linear(2, 2).weight, UnfilledParameter)
        assert nn.Linear(2, 2).weight.isfinite().all()


# Older torch says that it does not compile the making of a parameter.
@pytest.mark.filterwarnings("ignore:Graph break due to unsupported builtin:UserWarning")
def test_what_makes_and_copies_parameters_works_on_after_a_build() -> None:
    with skip_init():
        nn.Linear(2, 2)

    layer = nn.Linear(2, 2)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    compiled = torch.compile(lambda x: layer(x), backend="eager")
    made = torch.compile(lambda x: nn.Parameter(x * 2), backend="eager")

    for module in [*copies, compiled]:
        assert torch.equal(module(torch.ones(2)), layer(torch.ones(2)))
    assert type(copies[0].weight) is nn.Parameter
    assert made(torch.ones(2)).tolist() == [2.0, 2.0]


def test_tasks_and_threads_that_began_outside_build_as_ever() -> None:
    async def other(turn: asyncio.Event, done: asyncio.Event) -> nn.Linear:
        await turn.wait()
        layer = nn.Linear(3, 3)
        done.set()
        return layer

    async def main() -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        turn, done, late = asyncio.Event(), asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(other(turn, done))
        with skip_init():
            turn.set()
            await done.wait()
            outliving = asyncio.create_task(other(late, asyncio.Event()))
            unfilled = nn.Linear(3, 3)
            assert isinstance(unfilled.weight, UnfilledParameter)
        late.set()
        return await task, await outliving, unfilled

    outside, outliving, _ = asyncio.run(main())
    built: list[nn.Linear] = []
    with skip_init():
        thread = threading.Thread(target=lambda: built.append(nn.Linear(3, 3)))
        thread.start()
        thread.join()

    for layer in (outside, outliving, built[0]):
        assert layer.weight.isfinite().all()
