import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import into_record, load_record, map_params, named_params
from burnish.records import Param, ParamId


def net() -> Any:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def ids(module: nn.Module) -> dict[str, ParamId]:
    return {param.path: param.id for param in named_params(module)}


def test_each_parameter_has_an_id_that_stays() -> None:
    module = net()

    first, again = ids(module), ids(module)

    assert first == again
    assert len(set(first.values())) == 6
    assert all(ParamId.is_valid(param_id) for param_id in first.values())


def test_paths_are_those_of_torch_and_tensors_the_parameters_themselves() -> None:
    module = net()

    found = [(param.path, param.tensor) for param in named_params(module)]

    for (path, tensor), (name, parameter) in zip(
        found, module.named_parameters(), strict=True
    ):
        assert path == name
        assert tensor is parameter


def test_ids_survive_copies_pickles_casts_and_assigned_state_dicts() -> None:
    module = net()
    before = ids(module)

    assert ids(copy.deepcopy(module)) == before
    assert ids(pickle.loads(pickle.dumps(module))) == before
    assert ids(torch.compile(module, backend="eager")) == before  # type: ignore[arg-type]  # an OptimizedModule
    module.double().load_state_dict(net().double().state_dict(), assign=True)
    assert ids(module) == before


def test_of_cloned_layers_the_first_keeps_its_ids_and_the_others_draw_anew() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    original = ids(layer)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)

    found = ids(encoder)

    assert len(set(found.values())) == len(found)
    first = {p.removeprefix("layers.0."): i for p, i in found.items() if ".0." in p}
    assert first == original
    assert ids(encoder) == found


def test_a_tied_parameter_has_one_id_from_wherever_one_looks() -> None:
    module: Any = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    module["b"].weight = module["a"].weight
    through_b = ids(module["b"])["weight"]

    found = ids(module)

    assert list(found) == ["a.weight", "a.bias", "b.bias"]
    assert ids(module["b"])["weight"] == found["a.weight"] == ids(module["a"])["weight"]
    assert through_b == found["a.weight"]


def test_a_load_adopts_the_ids_of_the_record_and_leaves_no_doubles() -> None:
    module, other = net(), net()
    record = into_record(module).clone()
    ids(other)

    load_record(other, record)

    assert ids(other) == ids(module)

    part = net()
    swapped = record.select(only="0.**")
    ids(part)
    part[2].__dict__["_burnish_ids"] = dict(part[0].__dict__["_burnish_ids"])
    load_record(part, swapped, strict=False)
    assert len(set(ids(part).values())) == 6


def test_parametrizing_a_weight_keeps_the_module_identifiable() -> None:
    module = net()
    before = ids(module)

    nn.utils.parametrizations.weight_norm(module[0])
    after = ids(module)

    assert len(set(after.values())) == len(after)
    assert after["2.weight"] == before["2.weight"]


def test_mapping_replaces_values_and_keeps_the_parameters() -> None:
    module: Any = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    module["b"].weight = module["a"].weight
    parameters = list(module.parameters())
    expected = module["a"].weight.detach() * 2

    def doubled(param: Param) -> Tensor | None:
        return param.tensor * 2 if param.path.endswith("weight") else None

    map_params(module, doubled)

    assert all(a is b for a, b in zip(parameters, module.parameters(), strict=True))
    assert torch.equal(module["b"].weight, expected)
    assert module["b"].weight is module["a"].weight


def test_mapping_changes_nothing_when_the_function_fails() -> None:
    module = net()
    before = copy.deepcopy(module.state_dict())

    def fails_late(param: Param) -> Tensor:
        if param.path == "2.bias":
            return "no tensor"  # type: ignore[return-value]  # the error under test
        return param.tensor * 0

    with pytest.raises(TypeError, match=r"2\.bias: the function returned a str"):
        map_params(module, fails_late)

    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_mapping_to_another_dtype_is_a_cast() -> None:
    module = net()

    burnish.map_params(module, lambda param: param.tensor.half())

    assert all(p.dtype is torch.float16 for p in module.parameters())


def test_mapped_parameters_share_no_memory_unless_they_were_tied() -> None:
    net: Any = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(3)))
    net.register_buffer("scale", torch.ones(2, 2))
    first, second, one = net[0].weight.clone(), net[1].weight.clone(), torch.ones(2, 2)

    def swapped(param: Any) -> Any:
        return {"0.weight": net[1].weight, "1.weight": net[0].weight}.get(param.path)

    map_params(net, swapped)
    assert torch.equal(net[0].weight, second)
    assert torch.equal(net[1].weight, first)
    map_params(net, lambda param: one)
    map_params(net, lambda param: net[0].weight if param.path == "1.weight" else None)
    map_params(net, lambda param: net.scale if param.path == "2.weight" else None)

    with torch.no_grad():
        net[0].weight.fill_(7.0)
        net[2].weight.fill_(8.0)
    assert net[1].weight.eq(1).all()
    assert torch.equal(net.get_buffer("scale"), torch.ones(2, 2))


def test_parameters_mapped_in_inference_mode_still_learn() -> None:
    net = nn.Linear(2, 1)
    with torch.inference_mode():
        outside = torch.ones(1, 2)
        map_params(net, lambda p: outside if p.path == "weight" else p.tensor * 2)

    net(torch.ones(1, 2)).sum().backward()

    assert net.weight.grad is not None
    assert not any(p.is_inference() for p in net.parameters())


def test_a_tensor_that_no_parameter_can_hold_changes_none() -> None:
    net = nn.Linear(2, 1)
    before = net.weight.clone()

    with pytest.raises(TypeError, match="bias: a parameter on cpu cannot become"):
        map_params(net, lambda p: torch.zeros(1, device=_META[p.path]))

    assert torch.equal(net.weight, before)


_META = {"weight": "cpu", "bias": "meta"}


def test_an_id_that_is_derived_is_the_same_in_every_process() -> None:
    derived = ParamId.derived("aaaaaaaaaaaaa", "Cut(dim=0, start=0, size=2)")

    assert derived == "fygjzte2isyei"
    assert ParamId.is_valid(derived)
