import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import burnish
from burnish.core import from_record, into_record, report_of, skip_init
from burnish.core.state.uninitialized.unfilled import UnfilledParameter
from burnish.core.state.uninitialized.uninitialized import build_unfilled
from burnish.records import Record

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def test_nothing_is_initialized_inside_the_block_and_everything_after_it() -> None:
    with skip_init():
        module = nn.Linear(3, 3)

    assert module.weight.isnan().all()
    assert type(module.weight) is nn.Parameter
    assert not module.weight.__dict__
    assert nn.Linear(3, 3).weight.isfinite().all()


def test_a_module_built_in_the_block_is_loaded_by_torch_or_by_burnish() -> None:
    original = nn.Linear(3, 3)
    with skip_init():
        first, second = nn.Linear(3, 3), nn.Linear(3, 3)

    first.load_state_dict(original.state_dict())
    burnish.load_record(second, into_record(original))

    assert torch.equal(first.weight, original.weight)
    assert torch.equal(second.bias, original.bias)


def test_what_reads_a_parameter_inside_the_block_sees_it_initialized() -> None:
    with skip_init():
        weight = nn.Linear(3, 3).weight
        nn.init.constant_(weight, 2.0)
        assert isinstance(weight, UnfilledParameter)

        assert float(weight.detach().sum()) == 18.0
        assert weight.detach().numpy().sum() == 18.0
        assert torch.cat([weight, weight]).tolist() == [[2.0] * 3] * 6
        assert torch.equal(weight, torch.full((3, 3), 2.0))


def test_blocks_nest_and_an_error_leaves_nothing_behind() -> None:
    with skip_init():
        with pytest.raises(KeyError), skip_init():
            raise KeyError
        assert isinstance(nn.Linear(2, 2).weight, UnfilledParameter)

    assert type(nn.Linear(2, 2).weight) is nn.Parameter
    assert "new_parameter" not in nn.Parameter.__new__.__name__


def test_another_thread_is_not_concerned() -> None:
    inside, built = threading.Event(), threading.Event()
    found: list[nn.Linear] = []

    def build() -> None:
        inside.wait(10)
        found.append(nn.Linear(3, 3))
        built.set()

    thread = threading.Thread(target=build)
    thread.start()
    with skip_init():
        inside.set()
        assert built.wait(10)
    thread.join()

    assert found[0].weight.isfinite().all()


def test_threads_build_from_records_at_once() -> None:
    original = nn.Sequential(*(nn.Linear(4, 4) for _ in range(20)))
    data = burnish.save_record(original)
    assert data is not None
    wrong: list[object] = []

    def build() -> None:
        for _ in range(10):
            loaded = from_record(
                lambda: nn.Sequential(*(nn.Linear(4, 4) for _ in range(20))), data
            )
            for a, b in zip(original.parameters(), loaded.parameters(), strict=True):
                if not torch.equal(a, b) or type(b) is not nn.Parameter:
                    wrong.append(b)

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
    assert nn.Linear(3, 3).weight.isfinite().all()


def test_building_from_a_record_inside_the_block_fills_as_ever() -> None:
    data = burnish.save_record(nn.Linear(3, 3))
    assert data is not None

    with skip_init():
        module = from_record(lambda: nn.Linear(3, 3), data)

    assert module.weight.isfinite().all()


def test_a_module_that_cannot_be_built_unfilled_is_built_as_ever() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(3, 3)
            if type(self.l.weight) is not nn.Parameter:
                raise TypeError("a strange parameter")

    original = Picky()
    data = burnish.save_record(original)
    assert data is not None

    loaded = from_record(Picky, data)

    assert torch.equal(loaded.l.weight, original.l.weight)


def test_what_the_record_lacks_is_initialized_for_real_and_reported() -> None:
    class WithHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, 3)
            self.head = nn.Linear(3, 2)
            nn.init.constant_(self.head.weight, 0.5)
            self.lora = nn.Parameter(torch.empty(3, 1))
            nn.init.zeros_(self.lora)

    original = WithHead()
    record = into_record(original).select(only="body.**")

    loaded = from_record(WithHead, record, allow_missing=["head.**", "lora"])

    assert torch.equal(loaded.body.weight, original.body.weight)
    assert torch.equal(loaded.head.weight, torch.full((2, 3), 0.5))
    assert loaded.head.bias.isfinite().all()
    assert torch.equal(loaded.lora, torch.zeros(3, 1))
    report = report_of(loaded)
    assert report is not None
    assert report.initialized == ["lora", "head.weight", "head.bias"]


def test_a_buffer_that_the_file_lacks_is_computed_from_real_values() -> None:
    class Normalizes(nn.Module):
        total: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(3, 3)
            nn.init.constant_(self.l.weight, 2.0)
            total = torch.linalg.norm(self.l.weight).detach()
            self.register_buffer("total", total, persistent=False)

    state = {k: v + 1 for k, v in Normalizes().state_dict().items()}

    loaded = from_record(Normalizes, burnish.Record.from_state_dict(state))

    assert loaded.total.item() == 6.0
    assert loaded.l.weight[0, 0].item() == 3.0


def test_a_module_on_a_stated_device_is_built_there() -> None:
    data = burnish.save_record(nn.Linear(3, 3))
    assert data is not None

    module = from_record(
        lambda: nn.Linear(3, 3), burnish.open_record(data, device="cpu")
    )

    assert module.weight.device.type == "cpu"


def test_gradients_are_on_again_after_a_constructor_that_was_interrupted() -> None:
    def interrupted() -> nn.Module:
        # As an interrupt at the end of torch's own no_grad leaves it.
        torch.set_grad_enabled(False)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        burnish.from_record(interrupted, burnish.save_record(nn.Linear(1, 1)))

    is_enabled = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    assert is_enabled


def test_modules_and_their_tensors_are_saved_while_they_wait() -> None:
    with skip_init():
        module = nn.Linear(2, 2)
        nn.init.constant_(module.weight, 3.0)
        data = burnish.save_record(module)
    with skip_init():
        module = nn.Linear(2, 2)
        nn.init.constant_(module.weight, 3.0)
        by_name = Record.from_state_dict(module.state_dict()).save()
        views = Record.from_state_dict({"weight": module.weight.data}).save()

    for stored in (data, by_name, views):
        assert torch.equal(
            burnish.open_record(stored)["weight"], torch.full((2, 2), 3.0)
        )


class Equals(nn.Module):
    """Layers of one shape, whose parameters look alike while they wait."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(3))


def _saved(module: nn.Module, folder: Path) -> nn.Module:
    burnish.save_record(module, folder / "net.mpk")
    return from_record(Equals, folder / "net.mpk")


def _saved_beside(module: nn.Module, folder: Path) -> nn.Module:
    burnish.save_record(module, folder / "net.mpk", wait=False).wait()
    return from_record(Equals, folder / "net.mpk")


def _as_record(module: nn.Module, folder: Path) -> nn.Module:
    return from_record(Equals, into_record(module))


def _loaded(module: nn.Module, folder: Path) -> nn.Module:
    burnish.load_record(module, folder / "expected.mpk")
    return module


def _kept(module: nn.Module, folder: Path) -> nn.Module:
    checkpoints = burnish.Checkpoints(folder)
    checkpoints.save(1, model=module)
    restored = Equals()
    checkpoints.restore(model=restored)
    return restored


@pytest.mark.parametrize("way", [_saved, _saved_beside, _as_record, _loaded, _kept])
def test_equal_layers_that_wait_are_no_ties(
    way: Callable[[nn.Module, Path], nn.Module], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    expected = Equals().state_dict()
    torch.manual_seed(0)
    burnish.save_record(Equals(), tmp_path / "expected.mpk")
    torch.manual_seed(0)

    with skip_init():
        result = way(Equals(), tmp_path)

    assert all(map(torch.equal, result.state_dict().values(), expected.values()))
    assert len({param.data_ptr() for param in result.parameters()}) == 6


def test_a_constructor_that_loads_its_equal_layers_is_built_from_a_record(
    tmp_path: Path,
) -> None:
    burnish.save_record(Equals(), tmp_path / "part.mpk")

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = Equals()
            burnish.load_record(self.part, tmp_path / "part.mpk")

    whole = Whole()

    built = from_record(Whole, into_record(whole))

    pairs = zip(built.parameters(), whole.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_limit_of_time_that_passes_inside_a_constructor_ends_the_build() -> None:
    calls: list[int] = []

    def over(number: int, frame: object) -> None:
        raise TimeoutError("over")

    def factory() -> nn.Module:
        calls.append(1)
        os.kill(os.getpid(), signal.SIGALRM)
        return nn.Linear(1, 1)

    old_handler = signal.signal(signal.SIGALRM, over)
    try:
        with pytest.raises(TimeoutError, match="over"):
            build_unfilled(factory, None)
    finally:
        signal.signal(signal.SIGALRM, old_handler)

    assert calls == [1]
