from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.core import into_record, load_record
from burnish.records import RecordError

from ..awkward import ZOO  # a neighbour, not the package


def test_a_tied_tensor_is_one_entry_with_all_its_paths() -> None:
    entries = into_record(ZOO["SharedSubmodule"]()).entries()

    paths = {entry.path: entry.ties for entry in entries}
    assert paths["a.weight"] == ("b.weight", "c.0.weight", "c.2.weight")
    assert list(paths) == ["a.weight", "a.bias", "c.1.weight", "c.1.bias"]


def test_the_same_memory_seen_alike_is_one_entry() -> None:
    entries = into_record(ZOO["TiedBuffers"]()).entries()

    assert ("a", ("b", "view")) in [(entry.path, entry.ties) for entry in entries]


def test_kinds_tell_persistent_buffers_from_others() -> None:
    record = into_record(ZOO["NonPersistent"]())

    kinds = {entry.path: entry.kind for entry in record.entries()}
    assert kinds == {"l.weight": "parameter", "l.bias": "parameter", "f": "transient"}
    assert "f" not in record.to_state_dict()


def over_weight(tensor_of: Callable[[Any], Any], *, persistent: bool) -> nn.Module:
    """Return a module with a buffer that comes before the parameter it looks at."""
    net = nn.Module()
    net.layer = nn.Linear(2, 2, bias=False)
    net.register_buffer("table", tensor_of(net.layer.weight), persistent=persistent)
    return net


@pytest.mark.parametrize("tensor_of", [lambda w: w, lambda w: w.detach()])
def test_a_parameter_is_stored_as_one_though_a_buffer_came_first(
    tensor_of: Callable[[Any], Any],
) -> None:
    net = over_weight(tensor_of, persistent=True)
    (param,) = burnish.named_params(net)
    burnish.freeze(net)

    (entry,) = burnish.open_record(burnish.save_record(net, precision="half")).entries()
    again = over_weight(tensor_of, persistent=True)
    loaded = burnish.from_record(lambda: again, burnish.save_record(net))

    assert (entry.path, entry.ties) == ("table", ("layer.weight",))
    assert (entry.kind, entry.id, entry.dtype) == ("parameter", param.id, torch.half)
    assert next(iter(burnish.named_params(loaded))).id == param.id
    assert not loaded.get_parameter("layer.weight").requires_grad


@pytest.mark.parametrize("tensor_of", [lambda w: w, lambda w: w.detach()])
def test_a_parameter_is_stored_though_a_buffer_that_is_left_out_came_first(
    tensor_of: Callable[[Any], Any], tmp_path: Path
) -> None:
    file = tmp_path / "net.safetensors"
    net, again = (over_weight(tensor_of, persistent=False) for _ in range(2))

    burnish.save_record(net, file)
    burnish.load_record(again, file)

    assert list(into_record(net).to_state_dict()) == ["layer.weight"]
    assert torch.equal(
        again.get_parameter("layer.weight"), net.get_parameter("layer.weight")
    )


def test_entries_know_the_order_of_dimensions_in_memory() -> None:
    formats = {
        e.path: e.memory_format for e in into_record(ZOO["ChannelsLast"]()).entries()
    }

    assert formats["w"] == "channels_last"


def test_a_lazy_module_is_an_error_that_names_each_tensor_and_the_cure() -> None:
    module = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())

    with pytest.raises(RecordError, match=r"\{0\.\.\.1\}\.weight.*: a lazy.*Run"):
        into_record(module)
    with pytest.raises(RecordError, match=r"1\.running_mean"):
        load_record(module, into_record(nn.Linear(2, 2)))


def test_a_module_on_the_meta_device_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(RecordError, match=r"weight, bias: a tensor on the meta"):
        into_record(nn.Linear(2, 2, device="meta"))


def test_a_model_on_the_meta_device_is_one_problem_whatever_its_size() -> None:
    """Each of a thousand tensors had a line of its own, with the cure."""
    model = nn.Sequential(*(nn.Linear(2, 2, device="meta") for _ in range(500)))

    with pytest.raises(RecordError, match=r"^\{0\.\.\.499\}\.weight, ") as error:
        into_record(model)

    assert "\n" not in str(error.value)


def test_a_factory_that_makes_parameters_on_meta_is_told_that_it_need_not() -> None:
    """The cure was to build with from_record, by which it was built."""

    def build() -> nn.Module:
        return nn.Linear(2, 2, device="meta")

    with pytest.raises(RecordError, match="which need no device='meta'"):
        burnish.from_record(build, burnish.save_record(nn.Linear(2, 2)))


def test_extra_state_that_is_no_data_is_an_error_that_names_the_module() -> None:
    class Odd(nn.Module):
        def get_extra_state(self) -> Any:
            return {"handle": open}

    with pytest.raises(
        RecordError, match=r"inner\._extra_state.*get_extra_state of .*Odd"
    ):
        into_record(nn.ModuleDict({"inner": Odd()}))


def test_a_module_that_only_its_own_state_dict_knows_is_refused() -> None:
    class Packed(nn.Module):
        def _save_to_state_dict(
            self, destination: Any, prefix: str, keep_vars: bool
        ) -> None:
            destination[prefix + "packed"] = torch.ones(3)

    with pytest.raises(RecordError, match=r"layer\.packed: .*Packed"):
        into_record(nn.ModuleDict({"layer": Packed()}))


def test_a_class_that_names_the_arguments_of_a_torch_method_otherwise_is_saved() -> (
    None
):
    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 3))

        def _save_to_state_dict(self, state: Any, start: str, keep: bool) -> None:  # type: ignore[override]  # as users write it
            state[start + "weight"] = self.weight.t()

    record = into_record(Transposed())

    assert record["weight"].shape == (2, 3)


class Sums(nn.Module):
    """A metric with state of its own: some write it with a hook, some otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.total = torch.ones(3)


class Overriding(Sums):
    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        state = super().state_dict(*args, **kwargs)
        state[kwargs.get("prefix", "") + "total"] = self.total
        return state


class Nesting(Sums):
    def state_dict(self) -> Any:  # type: ignore[override]  # as users write it
        return {"weights": super().state_dict(), "sums": {"total": self.total}}


def hooked() -> Any:
    module: Any = Sums()

    def add(owner: Any, state: Any, prefix: str, metadata: Any) -> None:
        state[prefix + "total"] = owner.total

    module.register_state_dict_post_hook(add)
    return module


@pytest.mark.parametrize("build", [Overriding, Nesting, hooked])
def test_tensors_that_only_an_override_or_a_hook_writes_are_refused(
    build: Callable[[], nn.Module],
) -> None:
    module = nn.ModuleDict({"layer": build()})

    with pytest.raises(RecordError, match=r"layer\..*total: .* into its state dict"):
        into_record(module)
    burnish.save_record(module, only="layer.fc.**")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:Warning")
def test_hooks_that_rename_convert_or_filter_lose_nothing() -> None:
    def rename(owner: Any, state: Any, prefix: str, metadata: Any) -> None:
        state[f"{prefix}old"] = state.pop(f"{prefix}weight").detach()
        state[f"{prefix}bias"] = state[f"{prefix}bias"].half()

    class Refusing(nn.Linear):
        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    module: Any = nn.ModuleDict({"a": nn.Linear(2, 2), "b": Refusing(2, 2)})
    module["a"].register_state_dict_post_hook(rename)
    module["a"] = torch.compile(module["a"])

    assert len(into_record(module).entries()) == 4


def test_a_module_that_contains_itself_is_met_once() -> None:
    module = nn.Sequential(nn.Linear(2, 2))
    module[0].add_module("parent", module)

    assert [e.path for e in into_record(module).entries()] == ["0.weight", "0.bias"]


def test_a_child_may_have_the_name_of_a_method_or_of_a_wrapper() -> None:
    module: Any = nn.ModuleDict({"save": nn.Linear(2, 2), "module": nn.Linear(2, 2)})

    record = into_record(module)

    assert record["save.weight"] is module["save"].weight
    assert record["module.weight"] is module["module"].weight


def test_the_record_is_live_and_its_clone_a_snapshot() -> None:
    module = nn.Linear(2, 2)
    record = into_record(module)
    snapshot = record.clone()

    with torch.no_grad():
        module.weight.zero_()

    assert not record["weight"].any()
    assert snapshot["weight"].any()
