"""A module as a folder: config.json and weights, for us and for the ecosystem."""

import json
import multiprocessing
import os
import shutil
import textwrap
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.core import (
    Module,
    from_pretrained,
    module,
    named_params,
    save_pretrained,
)
from burnish.core.errors import HyperparameterError
from burnish.records import RecordChecksumError, RecordFormatError, RecordMismatchError

from .folders import Net, output, run, trained

LAYOUTS: list[dict[str, Any]] = [
    {},
    {"format": "mpk"},
    {"max_shard_size": 700},
    {"max_shard_size": "0.5KB"},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("given", [None, Net])
def test_a_module_comes_back_from_its_folder(
    tmp_path: Path, layout: dict[str, Any], given: Any
) -> None:
    net = trained()

    net.save_pretrained(tmp_path / "run", **layout)
    again = from_pretrained(tmp_path / "run", given)

    assert isinstance(again, Net)
    assert again.hparams == net.hparams
    assert torch.equal(output(again), output(net))
    assert again.head.weight is again.embed.weight
    assert [p.id for p in named_params(again)] == [p.id for p in named_params(net)]


@pytest.mark.parametrize("before", LAYOUTS, ids=str)
@pytest.mark.parametrize("after", LAYOUTS, ids=str)
def test_saving_again_replaces_what_was_there_and_nothing_else(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "other.safetensors").write_text("mine")
    Net(4).save_pretrained(tmp_path, **before)
    net = trained()

    net.save_pretrained(tmp_path, **after)

    assert torch.equal(output(from_pretrained(tmp_path)), output(net))
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / "other.safetensors").read_text() == "mine"
    fresh = tmp_path / "fresh"
    net.save_pretrained(fresh, **after)
    others = {"README.md", "other.safetensors", "fresh"}
    assert len(list(tmp_path.iterdir())) == len(list(fresh.iterdir())) + len(others)


def test_other_libraries_read_the_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    net = trained()
    net.save_pretrained(tmp_path)

    read = load_file(tmp_path / "model.safetensors")

    state = net.state_dict()
    assert read.keys() == state.keys() - {"head.weight"}
    assert all(torch.equal(value, state[name]) for name, value in read.items())


def test_no_initializer_runs(tmp_path: Path) -> None:
    net = trained()
    net.save_pretrained(tmp_path)
    state = torch.get_rng_state()

    again = from_pretrained(tmp_path)

    assert torch.equal(output(again), output(net))
    assert torch.equal(torch.get_rng_state(), state)


def test_precision_and_dtype_are_those_of_records(tmp_path: Path) -> None:
    net = trained()

    net.save_pretrained(tmp_path, precision="half", max_shard_size=500)

    stored = from_pretrained(tmp_path, Net, dtype="stored")
    assert stored.layers[0].weight.dtype is torch.float16
    assert stored.state_dict()["norm.running_mean"].dtype is torch.float32
    assert from_pretrained(tmp_path, Net).layers[0].weight.dtype is torch.float32


@pytest.mark.parametrize("layout", LAYOUTS[:3], ids=str)
def test_a_flipped_bit_is_caught(tmp_path: Path, layout: dict[str, Any]) -> None:
    trained().save_pretrained(tmp_path, **layout)
    weights = sorted(p for p in tmp_path.iterdir() if p.suffix != ".json")
    data = bytearray(weights[-1].read_bytes())
    data[-9 if weights[-1].suffix != ".mpk" else -200] ^= 1
    weights[-1].write_bytes(data)

    with pytest.raises((RecordChecksumError, RecordFormatError)):
        from_pretrained(tmp_path)


def test_an_argument_that_is_no_data_is_refused_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    class Holds(Module):
        def __init__(self, fn: Any) -> None:
            super().__init__()
            self.lin = nn.Linear(1, 1)

    with pytest.raises(TypeError, match=r"fn: .*not plain data"):
        Holds(lambda x: x).save_pretrained(tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_a_hand_edit_of_the_config_is_honoured(tmp_path: Path) -> None:
    class Dropping(Module):
        def __init__(self, rate: float = 0.5) -> None:
            super().__init__()
            self.lin = nn.Linear(2, 2)
            self.rate = rate

    Dropping(0.25).save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("0.25", "0.75"))

    assert from_pretrained(tmp_path, Dropping).rate == 0.75


def test_weights_and_config_of_two_saves_are_never_mixed(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    Net(4).save_pretrained(small)
    Net(6).save_pretrained(large)

    # What a save that is killed between two replacements leaves behind.
    shutil.copy(large / "model.safetensors", small / "model.safetensors")

    assert from_pretrained(small, Net).hparams["width"] == 6


@pytest.mark.parametrize("killed_at", ["index", "config", "removal"])
def test_a_save_that_is_killed_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    from burnish.core.pretrained import pretrained

    old, new = trained(), Net(6)
    old.save_pretrained(tmp_path)

    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    if killed_at == "index":
        monkeypatch.setattr(json, "dumps", die)
    elif killed_at == "config":
        monkeypatch.setattr(pretrained, "write_config", die)
    else:
        monkeypatch.setattr(pretrained, "remove_others", die)
    with pytest.raises(KeyboardInterrupt):
        new.save_pretrained(tmp_path, max_shard_size=300)
    monkeypatch.undo()

    found = from_pretrained(tmp_path, Net)
    expected = new if killed_at == "removal" else old
    assert torch.equal(output(found), output(expected))
    new.save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "model.safetensors"}


def write_forever(folder: str, stop: Any) -> None:
    torch.set_num_threads(1)
    sizes: list[dict[str, Any]] = [{}, {"max_shard_size": 900}, {"max_shard_size": 400}]
    i = 0
    while not stop.is_set():
        net = Net(4 + i % 3)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.fill_(4 + i % 3)
        net.save_pretrained(folder, **sizes[i % len(sizes)])
        i += 1


def test_a_reader_beside_a_writer_sees_one_save_or_the_next(tmp_path: Path) -> None:
    Net(4).save_pretrained(tmp_path)
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forking beside threads, which only read here
        writer = context.Process(target=write_forever, args=(str(tmp_path), stop))
        writer.start()
    seen: set[int] = set()
    try:
        for _ in range(150):
            net = from_pretrained(tmp_path, Net)
            width = net.hparams["width"]
            values = {float(p.detach().max()) for p in net.parameters()}
            seen.add(width)
            assert len(values) == 1 or width == 4
    finally:
        stop.set()
        writer.join()
    assert len(seen) > 1


def test_another_process_imports_the_class_and_loads(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        textwrap.dedent("""
            import burnish.core, sys, torch
            from torch import nn

            @burnish.core.module
            class Block(nn.Module):
                def __init__(self, width):
                    super().__init__()
                    self.lin = nn.Linear(width, width)

            @burnish.core.module
            class Net(nn.Module):
                def __init__(self, block, width=3):
                    super().__init__()
                    self.block, self.head = block, nn.Linear(width, 1)

                def forward(self, x):
                    return self.head(self.block.lin(x))

            if __name__ == "__main__":
                net = Net(Block(3))
                net.save_pretrained("run")
                print(net(torch.ones(1, 3)).item())
        """)
    )
    show = "print(n(torch.ones(1, 3)).item())"

    script = run(tmp_path, ["net.py"])
    in_hand = run(
        tmp_path,
        ["-c", f"import net, torch; n = net.Net.from_pretrained('run'); {show}"],
    )
    unknown = run(
        tmp_path, ["-c", "import burnish.core as b; b.from_pretrained('run')"], 1
    )

    assert float(in_hand) == float(script)
    assert "ran as a script" in unknown


def test_a_missing_folder_file_or_config_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        from_pretrained(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="is empty; expected model"):
        from_pretrained(tmp_path)
    trained().save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    assert isinstance(from_pretrained(tmp_path), Net)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "NaN", "[" * 100_000, '{"__module__": 3, "__name__": "Net"}'],
)
def test_a_damaged_config_is_refused(tmp_path: Path, text: str) -> None:
    trained().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(text)

    with pytest.raises((RecordFormatError, HyperparameterError)):
        from_pretrained(tmp_path)


def test_strictness_is_that_of_records(tmp_path: Path) -> None:
    net = trained()
    net.save_pretrained(tmp_path)

    class Wider(Net):
        def __init__(self, width: int = 8, depth: int = 3) -> None:
            super().__init__(width, depth)
            self.extra = nn.Linear(2, 2)

    with pytest.raises(RecordMismatchError, match=r"extra\.weight"):
        Wider.from_pretrained(tmp_path)

    again = Wider.from_pretrained(tmp_path, allow_missing="extra.*")
    assert torch.equal(output(again), output(net))
    assert bool(again.extra.weight.isfinite().all())


def test_a_class_of_the_hubs_mixin_keeps_its_methods_and_is_read(
    tmp_path: Path,
) -> None:
    hub: Any = pytest.importorskip("huggingface_hub")
    mixin: Any = hub.PyTorchModelHubMixin

    @module
    class Mixed(nn.Module, mixin):  # type: ignore[misc]  # of any library
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.lin = nn.Linear(width, 1)

    net: Any = Mixed(width=4)
    net.save_pretrained(tmp_path / "theirs")
    save_pretrained(net, tmp_path / "ours")

    for folder in ("theirs", "ours"):
        again: Any = from_pretrained(tmp_path / folder, Mixed)
        assert torch.equal(again.lin.weight, net.lin.weight)
    theirs: Any = Mixed
    assert torch.equal(
        theirs.from_pretrained(tmp_path / "theirs").lin.weight, net.lin.weight
    )


def test_paths_may_be_links_and_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    os.symlink("real", "link")
    net = trained()

    net.save_pretrained("link")

    assert torch.equal(output(from_pretrained("real")), output(net))


def test_a_class_before_the_folder_is_told_the_right_order() -> None:
    swapped: Any = from_pretrained

    with pytest.raises(TypeError, match=r"from_pretrained\('folder', Linear\)"):
        swapped(nn.Linear, "folder")


def test_a_callers_error_while_a_folder_is_written_leaves_none(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    (tmp_path / "mine").mkdir()
    for folder in ("new/deep", "mine"):
        with pytest.raises(ZeroDivisionError):
            Net(4).save_pretrained(tmp_path / folder, progress=fail)

    assert [file.name for file in tmp_path.rglob("*")] == ["mine"]
