"""``burnish show`` of every kind of file, folder and wish."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.cli.json_output import print_json
from burnish.cli.main import main
from burnish.records import Record

from .. import fresh_processes
from .stored_files import Net, stepped_optimizer


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    status = main(["show", *words])
    output = capsys.readouterr()
    assert status == 0, output.err
    assert "\x1b" not in output.out
    return output.out


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(shown(capsys, *words, "--json"))


@pytest.mark.parametrize("suffix", ["mpk", "mpk.zst", "json", "safetensors", "mpk.gz"])
def test_a_record_is_told_with_class_arguments_and_writer(
    suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Net(depth=3).save_record(f"net.{suffix}", metadata={"epoch": 7})

    text = shown(capsys, f"net.{suffix}")

    assert "record of Net, written by burnish" in text
    assert "with checksums" in text
    assert "Net(width=4, depth=3)" in text
    assert "metadata: epoch=7" in text
    assert "layers.{0...2}" in text
    assert "3 alike" in text
    assert "8 tensors, 75 parameters, 300 B" in text


def test_a_file_of_torch_and_a_stranger_s_file_have_no_checksums(
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({"state_dict": Net().state_dict(), "epoch": 3}, "net.pt")

    text = shown(capsys, "net.pt")

    assert "format torch" in text
    assert "no checksums" in text
    assert "head" in text


def test_the_state_of_an_optimizer_stands_under_names_with_its_groups(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stepped_optimizer(Net()).save_record("optim.mpk")

    text = shown(capsys, "optim.mpk")

    assert "group 0: AdamW(betas=[0.9, 0.999], eps=1e-08, weight_decay=0.01" in text
    assert "8 parameters, " in text or "6 parameters, " in text
    assert "head" in text
    assert "exp_avg_sq" in text
    assert "step = 1" in text


def test_a_blueprint_and_what_it_changed_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Net.blueprint(width=5).configure("head", bias=False).build()  # type: ignore[attr-defined]
    net.save_record("net.mpk")

    assert "built from a blueprint with 1 edit" in shown(capsys, "net.mpk")


def test_a_checkpoint_shows_all_parts_and_its_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Net()
    run = burnish.Checkpoints("run")
    run.save(2, model=net, optim=stepped_optimizer(net), loss=0.25)

    text = shown(capsys, "run")

    assert "a checkpoint of step 2" in text
    assert "loss=0.25" in text
    assert "model: format mpk" in text
    assert "optim: format mpk" in text
    assert "exp_avg" not in shown(capsys, "run", "model")
    assert "head" not in shown(capsys, "run", "optim.layers.0")


@pytest.mark.parametrize("form", ["table", "json", "html"])
def test_a_folder_is_shown_without_the_files_that_cannot_be_read(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Net().save_record("net.mpk")
    Path("torn.mpk").write_bytes(Path("net.mpk").read_bytes()[:100])
    words = {"table": [], "json": ["--json"], "html": ["--html", "page.html"]}[form]

    status = main(["show", ".", *words])

    output = capsys.readouterr().out
    text = Path("page.html").read_text() if form == "html" else output
    assert status == 2
    assert "torn.mpk" in text
    assert "head" in text
    assert main(["show", ".", "--values", "net.mpk.head.bias"]) == 0


def test_a_pattern_chooses_tensors_and_all_below_a_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Net().save_record("net.mpk")

    assert "2 tensors" in shown(capsys, "net.mpk", "head")
    assert "3 tensors" in shown(capsys, "net.mpk", "**.bias")
    assert main(["show", "net.mpk", "haed"]) == 2
    assert "Did you mean 'head" in capsys.readouterr().err


def test_statistics_tell_what_is_odd(capsys: pytest.CaptureFixture[str]) -> None:
    Record.from_state_dict(
        {
            "fine": torch.arange(5.0),
            "dead": torch.zeros(3),
            "nan": torch.tensor([1.0, math.nan, math.inf]),
        }
    ).save("x.mpk")

    text = shown(capsys, "x.mpk", "--stats")

    assert "all 0" in text
    assert "tensors that have NaN: 1 (nan)" in text
    assert "tensors that have inf: 1 (nan)" in text
    stats = {
        t["path"]: t["stats"]
        for t in as_json(capsys, "x.mpk", "--stats")["parts"][0]["tensors"]
    }
    assert stats["fine"] == {
        "n_values": 5,
        "mean": 2.0,
        "std": pytest.approx(math.sqrt(2.5)),
        "min": 0.0,
        "max": 4.0,
        "n_zeros": 1,
        "n_nan": 0,
        "n_inf": 0,
    }


def test_values_of_one_tensor_and_of_plain_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    burnish.save_record({"w": torch.tensor([1.5, 2.5]), "epoch": 3}, "x.mpk")

    assert "1.5000, 2.5000" in shown(capsys, "x.mpk", "--values", "w")
    assert shown(capsys, "x.mpk", "--values", "epoch") == "3\n"
    assert main(["show", "x.mpk", "--values", "epok"]) == 2
    assert "Did you mean 'epoch'" in capsys.readouterr().err


def test_the_digest_is_that_of_the_whole_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Net().save_record("net.mpk")
    digest = hashlib.sha256(Path("net.mpk").read_bytes()).hexdigest()

    assert digest in shown(capsys, "net.mpk", "--digest")
    assert as_json(capsys, "net.mpk", "--digest")["parts"][0]["sha256"] == digest


def test_json_has_a_schema_a_version_and_every_tensor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Net(depth=3)
    net.save_record("net.mpk")

    document = as_json(capsys, "net.mpk")

    assert [document[key] for key in ("burnish", "version", "kind")] == [
        "show",
        1,
        "record",
    ]
    (part,) = document["parts"]
    assert part["hyperparameters"]["depth"] == 3
    assert part["checksums"] is True
    assert [t["path"] for t in part["tensors"]] == [*dict(net.named_parameters())]
    assert part["tensors"][0]["shape"] == [4, 4]


def test_names_with_escapes_are_never_printed_raw(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = "\x1b[2J\u202eevil"
    burnish.save_record(
        {evil: torch.ones(2), "note": f"{evil}\n"}, "x.mpk", metadata={evil: evil}
    )

    text = shown(capsys, "x.mpk", "--stats")

    assert r"\x1b[2J\u202eevil" in text
    assert "\u202e" not in text
    shown(capsys, "x.mpk", "--json")
    assert main(["show", "x.mpk", f"{evil}2"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_very_many_different_names_are_left_out_unless_all_are_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tensors = {f"n{i:x}": torch.ones(1) for i in range(2000)}
    Record.from_state_dict(tensors).save("x.safetensors")

    assert "1,970 more" in shown(capsys, "x.safetensors")
    assert shown(capsys, "x.safetensors", "--all").count("\n") > 2000


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_no_line_is_wider_than_the_terminal(
    columns: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    stepped_optimizer(Net()).save_record("optim.mpk", metadata={"note": "x" * 99})

    for words in (["optim.mpk"], ["optim.mpk", "--stats"]):
        assert max(map(len, shown(capsys, *words).splitlines())) <= int(columns)


LIMITED = """
import resource, sys
from burnish.cli.main import main
def run(file):
    assert main(["show", file, "--stats"]) == 0
    assert main(["verify", file]) == 0
    assert main(["diff", file, file]) == 0
run("small." + sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run("large." + sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("suffix", ["mpk", "mpk.zst", "safetensors"])
def test_show_verify_and_diff_read_a_large_tensor_in_pieces(suffix: str) -> None:
    for name, n in (("small", 1 << 18), ("large", 6 << 20)):
        Record.from_state_dict({"w": torch.randn(n)}).save(f"{name}.{suffix}")

    ended = fresh_processes.run("-c", LIMITED, suffix, check=True)

    grown = int(ended.stdout.splitlines()[-1])
    assert grown < 20, f"{grown} MiB for a file of 24 MiB"


def test_a_page_is_written_in_place_of_tables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Net().save_record("net.mpk")

    text = shown(capsys, "net.mpk", "layers", "--html", "net.html")

    assert text.startswith("net.html: ")
    page = Path("net.html").read_text()
    assert "layers.0.weight" in page
    assert "head.weight" not in page


def test_a_page_of_a_checkpoint_has_all_its_parts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Net()
    burnish.Checkpoints("run").save(2, model=net, optim=stepped_optimizer(net))

    shown(capsys, "run", "--html", "run.html", "--json")

    page = Path("run.html").read_text()
    assert "model.head.weight" in page
    assert "optim.head.weight.exp_avg" in page


def test_a_page_takes_the_place_of_no_checkpoint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Net().save_record("net.mpk")
    content = Path("net.mpk").read_bytes()

    assert main(["show", "net.mpk", "--html", "net.mpk"]) == 2
    assert (
        "the name of a page must end in .html, got 'net.mpk'" in capsys.readouterr().err
    )
    assert main(["show", "net.mpk", "--html", "no/net.html"]) == 2
    assert "the folder no does not exist" in capsys.readouterr().err
    assert Path("net.mpk").read_bytes() == content


def test_the_version_of_the_format_and_what_stands_beside_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Net().save_record("net.mpk")
    torch.save({"state_dict": Net().state_dict(), "epoch": 3}, "net.pt")

    assert "format mpk version 1, record of Net" in shown(capsys, "net.mpk")
    assert "next to the state dict, not read: epoch" in shown(capsys, "net.pt")
    part = as_json(capsys, "net.pt")["parts"][0]
    assert (part["format_version"], part["beside"]) == (None, ["epoch"])


def test_a_page_has_the_digest_that_was_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Net().save_record("net.mpk")
    digest = hashlib.sha256(Path("net.mpk").read_bytes()).hexdigest()

    shown(capsys, "net.mpk", "--digest", "--html", "net.html")

    assert digest in Path("net.html").read_text()


def test_every_shard_has_its_digest(capsys: pytest.CaptureFixture[str]) -> None:
    net = Net(width=64)
    net.save_record("net.mpk")
    assert main(["convert", "net.mpk", "folder", "--shards", "20KB"]) == 0
    capsys.readouterr()

    part = as_json(capsys, "folder", "--digest")["parts"][0]

    files = sorted(Path("folder").iterdir())
    assert len(files) > 2
    assert part["sha256_by_file"] == {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }
    assert "model-00001-of" in shown(capsys, "folder", "--digest")


def test_values_that_are_left_out_are_told_and_all_are_printed_on_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = torch.arange(2000, dtype=torch.float32).reshape(4, 500)
    burnish.save_record({"w": values, "x": torch.tensor(True)}, "x.mpk")

    assert "2,000 values; --all" in shown(capsys, "x.mpk", "--values", "w")
    lines = shown(capsys, "x.mpk", "--values", "w", "--all").splitlines()
    assert [[float(x) for x in line.split()] for line in lines] == values.tolist()
    assert shown(capsys, "x.mpk", "--values", "x", "--all") == "True\n"


def test_values_are_json_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    burnish.save_record({"x": torch.ones(2, dtype=torch.bfloat16), "n": 3}, "x.mpk")

    document = as_json(capsys, "x.mpk", "--values", "x")

    assert (document["burnish"], document["values"]) == ("values", [1.0, 1.0])
    assert as_json(capsys, "x.mpk", "--values", "n")["values"] == 3


def test_an_empty_name_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", ""]) == 2

    assert "the name of the file is empty" in capsys.readouterr().err


def test_patterns_of_several_parts_choose_in_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    burnish.Checkpoints("run").save(1, model=Net(), other=torch.nn.Linear(2, 2))

    names = shown(capsys, "run", "model.head", "other.weight", "--json")

    parts = {part["name"]: part["tensors"] for part in json.loads(names)["parts"]}
    assert [tensor["path"] for tensor in parts["model"]] == ["head.weight", "head.bias"]
    assert [tensor["path"] for tensor in parts["other"]] == ["weight"]


def test_a_pattern_that_matches_in_no_part_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    burnish.Checkpoints("run").save(1, model=Net(), other=torch.nn.Linear(2, 2))

    assert main(["show", "run", "model.head", "other.head"]) == 2
    assert "'other.head' matches nothing" in capsys.readouterr().err


def test_a_name_with_the_signs_of_patterns_is_a_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({"a{b,c}": torch.ones(1), "d": torch.ones(2)}, "odd.pt")

    tensors = as_json(capsys, "odd.pt", "a{b,c}")["parts"][0]["tensors"]
    assert [tensor["path"] for tensor in tensors] == ["a{b,c}"]


def test_values_that_several_parts_have_are_asked_for_by_part(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ema = torch.nn.Linear(2, 2)
    burnish.Checkpoints("run").save(1, model=torch.nn.Linear(2, 2), ema=ema)

    assert main(["show", "run", "--values", "bias"]) == 2
    error = capsys.readouterr().err
    assert "model.bias" in error
    assert "ema.bias" in error
    values = as_json(capsys, "run", "--values", "ema.bias")["values"]
    assert values == ema.bias.tolist()


def test_values_of_a_checkpoint_s_data_are_asked_for_by_the_names_they_were_saved_under(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop = {"best": 0.5, "queue": torch.ones(2)}
    burnish.Checkpoints("run").save(1, stop=stop, best_step=[3], accuracy=0.25)

    assert shown(capsys, "run", "--values", "stop.best") == "0.5\n"
    assert "1., 1." in shown(capsys, "run", "--values", "stop.queue")
    assert shown(capsys, "run", "--values", "stop.value.best") == "0.5\n"
    assert shown(capsys, "run", "--values", "best_step.0") == "3\n"
    assert shown(capsys, "run", "--values", "accuracy") == "0.25\n"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("stop", "Below it are stop.queue, stop.best"),
        ("stop.bst", "Did you mean 'stop.best'"),
        ("acuracy", "Did you mean 'accuracy'"),
    ],
)
def test_values_that_are_not_there_are_told_with_names_that_are(
    capsys: pytest.CaptureFixture[str], path: str, hint: str
) -> None:
    stop = {"best": 0.5, "queue": torch.ones(2)}
    burnish.Checkpoints("run").save(1, stop=stop, accuracy=0.25)

    assert main(["show", "run", "--values", path]) == 2
    assert hint in capsys.readouterr().err


def test_values_beside_a_state_dict_are_told_with_the_way_to_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({"state_dict": Net().state_dict(), "epoch": 3}, "last.pt")

    assert main(["show", "last.pt", "--values", "epoch"]) == 2
    assert "next to the state dict" in capsys.readouterr().err


def test_a_page_of_one_tensor_s_values_is_wrong_use() -> None:
    words = ["show", "x.mpk", "--values", "weight", "--html", "x.html"]
    assert main(words) == 2


def test_a_document_asks_for_items_of_an_iterator_when_they_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = list[str]()

    def items() -> Iterator[dict[str, int]]:
        for i in range(3):
            printed.append(capsys.readouterr().out)
            yield {"i": i}

    content = {"none": iter(()), "rows": [{"x": items()}], "empty": {}, "list": [1, []]}
    print_json("values", content)

    document = json.loads("".join(printed) + capsys.readouterr().out)
    assert document["rows"] == [{"x": [{"i": 0}, {"i": 1}, {"i": 2}]}]
    assert (document["none"], document["empty"], document["list"]) == ([], {}, [1, []])
    assert [text.count('"i"') for text in printed] == [0, 1, 1]
