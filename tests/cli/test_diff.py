import json
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.cli.main import main

from .stored_files import Net, stepped_optimizer


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    net = Net()
    net.save_record("base.mpk")
    with torch.no_grad():
        net.head.weight.add_(0.5)
    net.save_record("tuned.safetensors")
    return tmp_path


def compared(capsys: pytest.CaptureFixture[str], *words: str, status: int = 1) -> str:
    assert main(["diff", *words]) == status
    output = capsys.readouterr()
    assert not output.err
    assert "\x1b" not in output.out
    return output.out


def test_a_fine_tune_is_told_by_what_moved(capsys: pytest.CaptureFixture[str]) -> None:
    text = compared(capsys, "base.mpk", "tuned.safetensors")

    assert "head.weight" in text
    assert "layers" not in text
    assert "100.0%" in text
    assert text.splitlines()[-1] == "different values in 1 of 6 tensors"


def test_the_same_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    Net.from_record("base.mpk").save_record("copy.json")

    text = compared(capsys, "base.mpk", "copy.json", status=0)

    assert text.splitlines()[-1] == "the same"


def test_a_tolerance_gives_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("base.mpk", "tuned.safetensors", "--atol")

    compared(capsys, *words, "0.51", status=0)
    compared(capsys, *words, "0.49", status=1)


def test_json_has_a_schema_and_every_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document: Any = json.loads(
        compared(capsys, "base.mpk", "tuned.safetensors", "--json")
    )

    assert (document["burnish"], document["version"]) == ("diff", 1)
    assert document["same"] is False
    (change,) = document["changed"]
    assert change["path"] == "head.weight"
    assert change["max_abs"] == pytest.approx(0.5)
    assert change["changed_share"] == 1
    assert document["n_equal"] == 5


def test_many_differences_are_left_out_unless_all_are_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    a = {f"\x1b{i}": torch.ones(2) for i in range(99)}
    burnish.save_record(a, "a.mpk")
    burnish.save_record({k: v + 1 for k, v in a.items()} | {"new": a["\x1b1"]}, "b.mpk")

    assert "59 more (--all)" in compared(capsys, "a.mpk", "b.mpk")
    assert "more" not in compared(capsys, "a.mpk", "b.mpk", "--all")


def test_settings_of_optimizers_are_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Net()
    for name, lr in (("a", 0.1), ("b", 0.2)):
        optim = stepped_optimizer(net)
        optim.param_groups[0]["lr"] = lr
        optim.save_record(f"{name}.mpk")

    assert "groups.0.lr: 0.1 -> 0.2" in compared(capsys, "a.mpk", "b.mpk")


def test_a_tolerance_that_is_none_is_wrong_use(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["diff", "base.mpk", "base.mpk", "--rtol", "-1"]) == 2
    assert "rtol" in capsys.readouterr().err


def test_ties_and_what_is_not_compared_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    w = torch.ones(2)
    torch.save({"model": {"x": w, "y": w}, "epoch": 1}, "tied.pt")
    torch.save({"model": {"x": w, "y": w.clone()}}, "untied.pt")

    text = compared(capsys, "tied.pt", "untied.pt")
    document: Any = json.loads(compared(capsys, "untied.pt", "tied.pt", "--json"))

    assert "tied only in A:\n  x = y" in text
    assert text.rstrip().endswith("not compared: epoch")
    assert document["tied_b"] == [["x", "y"]]
    assert document["not_compared"] == ["epoch"]


def test_damage_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(Path("base.mpk").read_bytes())
    data[-100] ^= 1
    Path("bad.mpk").write_bytes(data)

    assert main(["diff", "base.mpk", "bad.mpk"]) == 2
    assert "bad.mpk" in capsys.readouterr().err


def test_layers_are_told_the_one_that_moved_most_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Net.from_record("base.mpk")
    params = dict(net.named_parameters())
    with torch.no_grad():
        params["layers.1.weight"].mul_(2)
        params["layers.0.bias"].add_(1e-3)
    net.save_record("net.mpk")

    text = compared(capsys, "base.mpk", "net.mpk")

    layers = text.partition("layers that moved most:")[2].splitlines()[1:3]
    assert layers[0].split()[0] == "layers.1"
    assert layers[0].endswith("1 of 2 tensors")
    document: Any = json.loads(compared(capsys, "base.mpk", "net.mpk", "--json"))
    assert [layer["path"] for layer in document["layers"]] == ["layers.1", "layers.0"]


def test_a_page_is_written_in_place_of_tables_and_the_verdict_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("base.mpk", "tuned.safetensors", "--html", "moved.html")

    text = compared(capsys, *words)

    assert text.startswith("moved.html: ")
    assert text.splitlines()[-1] == "different values in 1 of 6 tensors"
    assert "head.weight" in Path("moved.html").read_text()
    compared(capsys, "base.mpk", "base.mpk", "--html", "same.html", status=0)


def test_what_is_rounded_is_not_told_as_none_or_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = torch.zeros(5000)
    few[0] = 1
    turned = torch.linspace(1, 2, 5000)
    before = {"few": torch.zeros(5000), "many": few, "turned": turned}
    after = {"few": few, "many": 2 + few.roll(1).sub_(few), "turned": -turned * 1.01}
    after["many"][3] = 0
    after["turned"][0] = -1.1
    torch.save(before, "a.pt")
    torch.save(after, "b.pt")

    rows = {r.split()[0]: r for r in compared(capsys, "a.pt", "b.pt").splitlines() if r}

    assert "<0.1%" in rows["few"]
    assert ">99.9%" in rows["many"]
    assert "<-0.9999" in rows["turned"]


def test_what_is_beyond_the_tolerance_is_told_from_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({"near": torch.ones(2), "far": torch.ones(2)}, "a.pt")
    torch.save({"near": torch.ones(2) + 1e-3, "far": torch.ones(2) + 1}, "b.pt")

    text = compared(capsys, "a.pt", "b.pt", "--atol", "0.01")

    rows = [line.split() for line in text.splitlines()]
    assert [row[0] for row in rows if "within" in row[1:]] == ["near"]
    assert text.splitlines()[-1] == (
        "different values in 2 of 2 tensors, 1 of them beyond the tolerance"
    )
