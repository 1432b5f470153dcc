"""State as records: by ID, then path; resumed to the bit; all or nothing."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
import burnish.optim
from burnish.config import DeleteField, RenameField
from burnish.optim import (
    ASGD,
    LAMB,
    LBFGS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Adan,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    ScheduleFreeAdamW,
    SimpleOptimizer,
)
from burnish.records import (
    Precision,
    PrecisionError,
    RecordError,
    RecordFormatError,
    RecordMismatchError,
    open_record,
)

from ... import fresh_processes
from ..nets import Net, UserAdamW, distance, drive, equal, layers, plist, tree, values

CONFIGURED: list[SimpleOptimizer[Any]] = [
    SGD(),
    SGD(momentum=0.9, nesterov=True),
    Adam(amsgrad=True),
    AdamW(cautious=True),
    AdamW(),
    Adan(),
    Adagrad(),
    RMSprop(centered=True, momentum=0.9),
    Lion(),
    Adafactor(),
    LAMB(),
    ScheduleFreeAdamW(warmup_steps=3),
    NAdam(),
    RAdam(),
    Adamax(),
    Adadelta(),
    ASGD(t0=2),
    Rprop(),
    UserAdamW(),
]


EXPORTED = [getattr(burnish.optim, name) for name in burnish.optim.__all__]


DEFAULT: list[SimpleOptimizer[Any]] = [
    cls()
    for cls in EXPORTED
    if isinstance(cls, type)
    and issubclass(cls, SimpleOptimizer)
    # Muon takes matrices alone, and has tests of its own.
    and cls not in {SimpleOptimizer, Muon, *map(type, CONFIGURED)}
]


ALL = [*CONFIGURED, *DEFAULT]


@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize("saved_after", [0, 1, 3])
@pytest.mark.parametrize("simple", ALL, ids=lambda s: type(s).__name__)
def test_saved_and_loaded_steps_are_the_uninterrupted_ones_to_the_bit(
    simple: SimpleOptimizer[Any], saved_after: int, fused: bool | None, tmp_path: Path
) -> None:
    straight, broken = Net(large=fused is None), Net(large=fused is None)
    first = simple.bind(straight, lr=1e-2, fused=fused)
    second = simple.bind(broken, lr=1e-2, fused=fused)
    drive(first, straight, *range(saved_after + 3))
    drive(second, broken, *range(saved_after))

    second.save_record(tmp_path / "optim.mpk")
    third = simple.bind(broken, lr=1e-2, fused=fused)
    report = third.load_record(tmp_path / "optim.mpk")
    drive(third, broken, *range(saved_after, saved_after + 3))

    assert equal(straight, broken)
    assert report.changed == []


@pytest.mark.parametrize("suffix", ["mpk.zst", "mpk.gz", "json", "json.gz"])
def test_every_format_that_holds_records_holds_those_of_optimizers(
    suffix: str, tmp_path: Path
) -> None:
    net, other = Net(large=False), Net(large=False)
    other.load_state_dict(net.state_dict())
    first, second = AdamW().bind(net, lr=1e-2), AdamW().bind(other, lr=1e-2)
    drive(first, net, 0, 1)

    first.save_record(tmp_path / f"optim.{suffix}")
    burnish.load_record(other, burnish.save_record(net))
    second.load_record(tmp_path / f"optim.{suffix}")
    drive(first, net, 2)
    drive(second, other, 2)

    assert equal(net, other)


SCRIPT = """
import sys
import torch
from tests.optim.nets import UserAdamW, Net, drive
torch.set_num_threads(1)
fused = {"False": False, "None": None, "True": True}[sys.argv[1]]
net = Net(large=False)
net.load_state_dict(torch.load(sys.argv[2] + "/net.pt", weights_only=True))
optim = UserAdamW().bind(net, lr=1e-2, fused=fused)
optim.load_record(sys.argv[2] + "/optim.mpk")
drive(optim, net, 2, 3)
torch.save(net.state_dict(), sys.argv[2] + "/after.pt")
"""


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_new_process_goes_on_to_the_bit(fused: bool | None, tmp_path: Path) -> None:
    net = Net(large=False)
    adaptor = UserAdamW().bind(net, lr=1e-2, fused=fused)
    drive(adaptor, net, 0, 1)
    adaptor.save_record(tmp_path / "optim.mpk")
    torch.save(net.state_dict(), tmp_path / "net.pt")
    drive(adaptor, net, 2, 3)

    root = Path(__file__).parents[3]
    fresh_processes.run("-c", SCRIPT, str(fused), tmp_path, cwd=root, check=True)

    after = torch.load(tmp_path / "after.pt", weights_only=True)
    assert all(torch.equal(v, after[k]) for k, v in net.state_dict().items())


def test_state_follows_the_parameter_when_the_declaration_is_reordered() -> None:
    one = tree(a=nn.Linear(3, 3), b=nn.Linear(3, 3))
    two = tree(b=nn.Linear(3, 3), a=nn.Linear(3, 3))
    first = AdamW().bind(one, lr=1e-2)
    drive(first, one, 1)

    second = AdamW().bind(two, lr=1e-2)
    second.load_record(first.into_record())

    ours, theirs = one["a"].weight, two["a"].weight
    assert torch.equal(first.state[ours]["exp_avg"], second.state[theirs]["exp_avg"])


def test_state_follows_the_id_when_the_layer_is_renamed() -> None:
    one = tree(fc1=nn.Linear(3, 3), fc2=nn.Linear(3, 3))
    first = AdamW().bind(one, lr=1e-2)
    drive(first, one, 1)
    data = first.save_record()

    two = tree(head=one["fc1"], fc2=one["fc2"])
    second = AdamW().bind(two, lr=1e-2)
    report = second.load_record(data)

    assert report.renamed == {"fc1.weight": "head.weight", "fc1.bias": "head.bias"}
    assert second.state[one["fc1"].weight]["step"] == 1


@pytest.mark.parametrize("through", ["file", "record"])
def test_a_rename_goes_before_the_ids(through: str) -> None:
    net: Any = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optim = AdamW().bind(net, lr=0.1)
    drive(optim, net, 1, 2)
    means = [optim.state[net[i].weight]["exp_avg"].clone() for i in (0, 1)]
    source: Any = optim.save_record() if through == "file" else optim.into_record()

    report = optim.load_record(source, rename={"0": "1", "1": "0"})

    assert report.renamed["0.weight"] == "1.weight"
    for i, mean in enumerate(reversed(means)):
        assert torch.equal(optim.state[net[i].weight]["exp_avg"], mean)


def test_two_states_for_one_parameter_are_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optim = AdamW().bind(net, lr=0.1)
    drive(optim, net, 1)

    with pytest.raises(RecordMismatchError, match=r"0\.weight"):
        optim.load_record(optim.save_record(), rename={"0.weight": "1.weight"})


def test_a_rename_rule_finds_the_path_of_a_fresh_module() -> None:
    one = tree(fc1=nn.Linear(3, 3))
    two = tree(head=nn.Linear(3, 3))
    first, second = (AdamW().bind(net, lr=1e-2) for net in (one, two))
    drive(first, one, 1)

    report = second.load_record(
        first.into_record(), rename=lambda path: path.replace("fc1", "head")
    )

    assert sorted(report.loaded) == ["head.bias", "head.weight"]
    assert second.state[two["head"].weight]["step"] == 1


@pytest.mark.parametrize(
    "rename",
    [
        {"fc1": "head"},
        {"fc1.weight": "head.weight", "fc1.bias": "head.bias"},
        [RenameField("fc1", "head")],
    ],
)
def test_renames_are_those_of_records(rename: Any) -> None:
    one, two = tree(fc1=nn.Linear(3, 3)), tree(head=nn.Linear(3, 3))
    first, second = (AdamW().bind(net, lr=1e-2) for net in (one, two))
    drive(first, one, 1)

    report = second.load_record(first.save_record(), rename=rename)

    assert sorted(report.loaded) == ["head.bias", "head.weight"]


@pytest.mark.parametrize("name", ["fc2", "**.weight"])
def test_a_rename_of_what_is_not_stored_is_an_error(name: str) -> None:
    net = tree(fc1=nn.Linear(3, 3))
    adaptor = AdamW().bind(net, lr=1e-2)
    drive(adaptor, net, 1)
    hint = "fc1" if name == "fc2" else "RenameField"

    with pytest.raises(ValueError, match=rf"nothing is stored at .*{hint}"):
        adaptor.load_record(adaptor.save_record(), rename={name: "head"})


def test_a_parameter_of_no_module_is_stepped_saved_and_resumed() -> None:
    def bound() -> tuple[Any, nn.Parameter]:
        extra = nn.Parameter(torch.ones(3))
        adaptor = AdamW().bind(layers(), lr=0.1)
        adaptor.add_param_group({"params": [extra], "lr": 0.2})
        return adaptor, extra

    (first, extra), (second, other) = bound(), bound()
    extra.grad = torch.ones(3)
    first.step()

    report = second.load_record(first.save_record())

    assert report.loaded == ["param_6"]
    assert torch.equal(second.state[other]["exp_avg"], first.state[extra]["exp_avg"])
    assert torch.allclose(extra, torch.full((3,), 0.798))


def test_new_and_removed_layers_are_reported_and_the_rest_is_loaded() -> None:
    one = tree(a=nn.Linear(3, 3), old=nn.Linear(2, 2))
    two = tree(a=nn.Linear(3, 3), new=nn.Linear(2, 2))
    first, second = (AdamW().bind(net, lr=1e-2) for net in (one, two))
    drive(first, one, 1)

    report = second.load_record(first.into_record(), strict=False)

    assert report.loaded == ["a.weight", "a.bias"]
    assert report.missing == ["new.weight", "new.bias"]
    assert report.unexpected == ["old.weight", "old.bias"]
    with pytest.raises(RecordMismatchError, match=r"(?s)old\.weight.*strict=False"):
        second.load_record(first.into_record())


def test_wide_state_of_a_narrow_model_is_stored_and_loaded_wide() -> None:
    wide = torch.float32
    one, two = layers(torch.bfloat16), layers(torch.bfloat16)
    first = AdamW().bind(one, lr=1e-2, state_dtype=wide)
    drive(first, one, 1)

    second = AdamW().bind(two, lr=1e-2)
    second.load_record(first.save_record())
    drive(second, two, 2)

    assert second.state[two[0].weight]["exp_avg"].dtype == wide


def test_a_record_of_other_shapes_is_refused_with_the_reason() -> None:
    one, two = nn.Linear(3, 4), nn.Linear(5, 4)
    first, second = AdamW().bind(one, lr=1e-2), AdamW().bind(two, lr=1e-2)
    drive(first, one, 1)

    with pytest.raises(RecordMismatchError, match=r"weight.*\(4, 3\).*\(4, 5\)"):
        second.load_record(first.into_record())

    assert not second.state


def test_a_record_of_an_unrelated_module_is_refused() -> None:
    one, two = (
        tree(a=nn.Linear(2, 2)),
        tree(b=nn.Linear(2, 2)),
    )
    first, second = AdamW().bind(one, lr=1e-2), AdamW().bind(two, lr=1e-2)
    drive(first, one, 1)

    with pytest.raises(RecordMismatchError, match=r"none of the 2 .* a\.weight"):
        second.load_record(first.into_record())


def test_a_damaged_file_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    net = Net()
    adaptor = AdamW().bind(net, lr=1e-2)
    drive(adaptor, net, 1)
    file = tmp_path / "optim.mpk"
    adaptor.save_record(file)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    drive(adaptor, net, 2)
    before = adaptor.state[net.large]["exp_avg"].clone()

    with pytest.raises(Exception, match="checksum"):
        adaptor.load_record(file)

    assert torch.equal(adaptor.state[net.large]["exp_avg"], before)


def test_a_sparse_gradient_is_no_change_of_engine() -> None:
    """A restore of every run with a sparse embedding was told of other last digits."""
    nets = [tree(e=nn.Embedding(5, 4, sparse=True), h=nn.Linear(4, 2)) for _ in "ab"]
    first, second = (burnish.optim.SGD(momentum=0.9).bind(n, lr=0.1) for n in nets)
    net = nets[0]
    net["h"](net["e"](torch.arange(2))).sum().backward()
    first.step()

    burnish.load_record(nets[1], burnish.save_record(net))
    report = second.load_record(first.save_record())

    assert report.changed == []


def test_a_change_of_engine_is_reported() -> None:
    net = layers()
    saved = UserAdamW().bind(net, lr=1e-2, fused=True).save_record()

    report = UserAdamW().bind(net, lr=1e-2, fused=False).load_record(saved)

    assert any("'compiled'" in line and "'loop'" in line for line in report.changed)


def test_loading_replaces_all_state(tmp_path: Path) -> None:
    net = Net(large=False)
    adaptor = AdamW().bind(net, lr=1e-2)
    empty = adaptor.save_record()
    drive(adaptor, net, 1, 2)
    kept = values(net)

    adaptor.load_record(empty)

    assert not adaptor.state
    assert all(torch.equal(a, b) for a, b in zip(kept, values(net), strict=True))


def test_distance_sees_differences() -> None:
    assert distance(Net(), Net()) == 0.0


@pytest.mark.parametrize("precision", ["half", Precision(param=torch.float16)])
def test_a_precision_leaves_the_state_unless_it_names_it(precision: Any) -> None:
    straight, broken = Net(large=False), Net(large=False)
    first, second = (AdamW().bind(net, lr=1e-2) for net in (straight, broken))
    drive(first, straight, *range(4))
    drive(second, broken, *range(2))

    third = AdamW().bind(broken, lr=1e-2)
    third.load_record(second.save_record(precision=precision))
    drive(third, broken, *range(2, 4))

    assert equal(straight, broken)


def test_a_second_moment_that_would_become_zero_is_refused_by_name() -> None:
    net = plist(torch.ones(4))
    optim = AdamW().bind(net, lr=1e-2)
    net[0].grad = torch.full((4,), 1e-6)
    optim.step()

    with pytest.raises(PrecisionError, match=r"exp_avg_sq: 1e-15 .* would become 0"):
        optim.save_record(precision=Precision(paths={"**.exp_avg_sq": "half"}))


def test_a_state_of_another_shape_is_left_out_by_a_rule_and_begins_anew() -> None:
    def net_of(classes: int) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, classes))

    net = net_of(2)
    optim = AdamW().bind(net, lr=0.1)
    net(torch.ones(1, 2)).sum().backward()
    optim.step()
    other = AdamW().bind(net_of(5), lr=0.1)

    with pytest.raises(RecordMismatchError, match=r"DeleteField\('1\.weight'\)"):
        other.load_record(optim.into_record())
    report = other.load_record(optim.into_record(), rename=[DeleteField("1.**")])

    assert report.loaded == ["0.weight", "0.bias"]
    assert report.missing == ["1.weight", "1.bias"]


def test_where_nothing_fits_no_cure_is_offered_that_leaves_nothing_to_load() -> None:
    net = nn.Linear(2, 2)
    optim = AdamW().bind(net, lr=0.1)
    net(torch.ones(1, 2)).sum().backward()
    optim.step()
    data = optim.save_record()
    wider = AdamW().bind(nn.Linear(3, 3), lr=0.1)
    nested = AdamW().bind(nn.Sequential(nn.Linear(2, 2)), lr=0.1)

    with pytest.raises(RecordMismatchError) as all_misfit:
        wider.load_record(data)
    assert "DeleteField" not in all_misfit.value.cure
    assert "to start from scratch, do not load this file" in all_misfit.value.cure
    rules = [DeleteField("weight"), DeleteField("bias")]
    with pytest.raises(RecordMismatchError, match="the file has 2 stored states"):
        wider.load_record(data, rename=rules)
    for strict in (True, False):
        with pytest.raises(RecordMismatchError, match="none of the 2") as unmatched:
            nested.load_record(data, strict=strict)
        assert "strict=False" not in unmatched.value.cure
        assert "rename={old: new}" in unmatched.value.cure
    renames = {"weight": "0.weight", "bias": "0.bias"}
    assert nested.load_record(data, rename=renames).loaded == [*renames.values()]


def test_a_rule_that_drops_a_state_does_so_in_spite_of_its_id() -> None:
    net = nn.Linear(2, 2)
    optim = AdamW().bind(net, lr=0.1)
    net(torch.ones(1, 2)).sum().backward()
    optim.step()

    report = optim.load_record(optim.into_record(), rename=[DeleteField("bias")])

    assert (report.loaded, report.missing) == (["weight"], ["bias"])


@pytest.mark.parametrize("kind", [AdamW, LBFGS])
@pytest.mark.parametrize("way", ["file", "live", "state dict"])
def test_state_that_is_loaded_in_inference_mode_is_ordinary(
    kind: Any, way: str
) -> None:
    def stepped() -> Any:
        net = nn.Linear(2, 1)
        optim = kind().bind(net, lr=0.1)

        def loss() -> Any:
            optim.zero_grad()
            value = net(torch.ones(1, 2)).square().sum()
            value.backward()
            return value

        return optim, loss

    (optim, loss), (other, other_loss) = stepped(), stepped()
    for _ in range(2):
        optim.step(loss)

    with torch.inference_mode():
        if way == "state dict":
            other.load_state_dict(optim.state_dict())
        else:
            record = optim.into_record() if way == "live" else optim.save_record()
            other.load_record(record)

    other.step(other_loss)
    tensors = [
        value
        for state in other.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    ]
    assert tensors
    assert not any(tensor.is_inference() for tensor in tensors)


def test_the_state_of_a_layer_that_was_removed_is_stored_and_missed_nowhere() -> None:
    net, fresh = layers(), layers()
    optimizer = AdamW().bind(net, lr=0.01)
    drive(optimizer, net, 0)
    aside = net[2]
    del net[2]
    drive(optimizer, net, 1)
    stored = optimizer.save_record()
    again = AdamW().bind(fresh[:2], lr=0.01)

    report = again.load_record(stored)

    assert report.loaded == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert report.unexpected == ["2.weight", "2.bias"]
    assert optimizer.load_record(stored).unexpected == []
    assert aside.weight in optimizer.state


def test_the_state_of_a_layer_that_was_removed_is_not_that_of_a_later_one() -> None:
    net, fresh = layers(), layers()
    optimizer = AdamW().bind(net, lr=0.01)
    drive(optimizer, net, 0)
    net[2].weight = net[0].weight  # tied, from here on
    drive(optimizer, net, 1)

    report = AdamW().bind(fresh, lr=0.01).load_record(optimizer.save_record())

    assert "2.weight" in report.missing
    assert "2.weight" in report.unexpected


def test_an_error_names_the_file_of_a_record_and_shows_no_bytes(tmp_path: Path) -> None:
    net = layers()
    optimizer = AdamW().bind(net, lr=0.01)
    drive(optimizer, net, 0)
    file = tmp_path / "optim.mpk"
    optimizer.save_record(file)
    other = SGD(momentum=0.9).bind(net, lr=0.01)

    for source, name in (
        (file, str(file)),
        (open_record(file), str(file)),
        (file.read_bytes(), "bytes"),
    ):
        with pytest.raises(RecordMismatchError) as caught:
            other.load_record(source)
        assert str(caught.value).startswith(f"{name}: 6 problems")


def test_a_state_dict_that_was_saved_as_data_is_told_with_what_to_do(
    tmp_path: Path,
) -> None:
    net = torch.nn.Linear(2, 2)
    optim = AdamW().bind(net, lr=0.1)
    state_dict = torch.optim.AdamW(net.parameters()).state_dict()
    burnish.save_record({"optim": state_dict}, tmp_path / "state.mpk")

    with pytest.raises(RecordFormatError, match=r"plain data.*optim\.load_state_d"):
        optim.load_record(tmp_path / "state.mpk")


@pytest.mark.parametrize(
    ("before", "options"),
    [
        (torch.bfloat16, {"state_dtype": torch.float32}),
        (torch.bfloat16, {"master_dtype": torch.float32}),
        (torch.float16, {}),
    ],
)
def test_a_state_of_fewer_digits_than_here_is_told(
    before: torch.dtype, options: dict[str, Any]
) -> None:
    net = nn.Linear(2, 1).to(before)
    optim = AdamW().bind(net, lr=0.1)
    for param in net.parameters():
        param.grad = torch.ones_like(param)
    optim.step()
    after = nn.Linear(2, 1).to(torch.bfloat16 if options else torch.float32)
    told = (
        f"stored with exp_avg in {str(before)[6:]} \\(a new state would be float32\\)"
    )

    resumed = AdamW().bind(after, lr=0.1, **options)
    report = resumed.load_record(optim.save_record())
    with pytest.warns(RuntimeWarning, match=told):
        resumed.load_state_dict(optim.state_dict())
    for state in resumed.state.values():  # what the report says helps
        state["exp_avg"] = state["exp_avg"].float()
        state["exp_avg_sq"] = state["exp_avg_sq"].float()
    after.weight.grad = torch.ones_like(after.weight)
    resumed.step()

    assert any(re.search(told, text) for text in report.changed)
    assert resumed.state[after.weight]["exp_avg"].dtype is torch.float32
    again = optim.load_record(optim.save_record())
    assert not any("stored with" in text for text in again.changed)


class EditedFile:
    """The state of an optimizer of a linear layer in a JSON file, to be edited."""

    def __init__(self, file: Path) -> None:
        net = nn.Linear(2, 2)
        optim = AdamW().bind(net, lr=1e-3)
        drive(optim, net, 1)
        optim.save_record(file)
        self._file, self._document = file, json.loads(file.read_text())
        fields = self._document["tree"]["$record"][1]
        self.states: dict[str, Any] = fields["states"]
        self.group: dict[str, Any] = fields["groups"][0]["$record"][1]

    def write(self) -> None:
        """Write what was edited."""
        self._file.write_text(json.dumps(self._document))

    def set_states(self, value: object) -> None:
        """Put ``value`` in the place of each state."""
        self.states.update(dict.fromkeys(self.states, value))

    def set_groups_of_states(self, number: int) -> None:
        """Say of each state that it was in group ``number``."""
        for state in self.states.values():
            state["$record"][1]["group"] = number


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda f: f.group["hyperparameters"].update(betas=3), "betas must be 2 numb"),
        (lambda f: f.group["hyperparameters"].update(lr="x"), "could not convert"),
        (lambda f: f.group.update(schedule={"kind": "Gone"}), "'Gone' is not the name"),
        (lambda f: f.set_groups_of_states(7), "in group 7, expected one of 1 stored"),
        (lambda f: f.set_states(0.5), "found 0.5, expected ParamState"),
    ],
    ids=["betas", "lr", "schedule", "group", "state"],
)
def test_what_an_edited_file_says_wrong_is_named_and_nothing_is_changed(
    tmp_path: Path, edit: Callable[[EditedFile], None], problem: str
) -> None:
    file = tmp_path / "optim.json"
    edited = EditedFile(file)
    edit(edited)
    edited.write()
    optim = AdamW(betas=(0.5, 0.6)).bind(nn.Linear(2, 2), lr=0.25)
    before = optim.state_dict()

    with pytest.raises(RecordError, match=rf"optim\.json: .*{problem}"):
        optim.load_record(file, hyperparameters="restore")

    assert optim.state_dict() == before


def test_metadata_of_the_user_takes_no_place_of_what_the_optimizer_says() -> None:
    net = nn.Linear(2, 2)
    optim = AdamW().bind(net, lr=1e-3)
    drive(optim, net, 1)

    with pytest.raises(ValueError, match="'optimizer' is reserved"):
        optim.save_record(metadata={"optimizer": "AdamW"})

    # Who has written it there all the same, by the record, reads its state.
    data = optim.into_record().save(metadata={"optimizer": "AdamW"})
    assert not optim.load_record(data).missing


def test_a_stored_hyperparameter_is_never_the_parameters_of_a_group(
    tmp_path: Path,
) -> None:
    file = tmp_path / "optim.json"
    edited = EditedFile(file)
    edited.group["hyperparameters"] |= {"params": [], "kind": "Lion"}
    edited.write()
    optim = AdamW().bind(nn.Linear(2, 2), lr=0.25)

    optim.load_record(file, hyperparameters="restore")

    (group,) = optim.param_groups
    assert (len(group["params"]), group["kind"], group["lr"]) == (2, "AdamW", 1e-3)
