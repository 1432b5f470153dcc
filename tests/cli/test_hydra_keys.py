"""Keys without their section are found in files, groups and classes."""

from pathlib import Path

import pytest

from burnish.cli.hydra_keys import complete_keys

from .runs import EXAMPLE_RUNS, FAILING_FILE

pytestmark = [*EXAMPLE_RUNS, pytest.mark.usefixtures("failing")]

OPT = "# @package model_config.optimizer\nmodule_name: torch.optim.Adam\n"


@pytest.fixture(autouse=True)
def groups(tmp_path: Path, failing: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/sgd.yaml").write_text(f"{OPT}kwargs: {{lr: 0.1}}")
    (tmp_path / "opt/adam.yaml").write_text(f"{OPT}kwargs: {{eps: 0.1}}")
    (tmp_path / "net.yaml").write_text(f"defaults: [_self_, opt: sgd]\n{FAILING_FILE}")
    (tmp_path / "open.yaml").write_text(
        f"defaults:\n- _self_\n- opt: ???\n{FAILING_FILE}"
    )
    return tmp_path


def completed(folder: Path, *words: str, name: str = "net") -> list[str]:
    return complete_keys(words, folder=folder, name=name)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("optimizer.kwargs.lr=1", "model_config.optimizer.kwargs.lr=1"),
        ("max_epochs=1,2", "run_config.trainer.max_epochs=1,2"),
        ("max_steps=3", "++run_config.trainer.max_steps=3"),
        ("++max_epochs=1", "++run_config.trainer.max_epochs=1"),
        ("+optimizer.kwargs.eps=1", "+model_config.optimizer.kwargs.eps=1"),
        ("data.batch_size=8", "data_config.loader.batch_size=8"),
        ("~checkpoint", "~model_config.checkpoint"),
        ("~nothing", "~nothing"),
        ("+mine.key='a=b'", "+mine.key='a=b'"),
        ("hydra.run.dir=x", "hydra.run.dir=x"),
        ("hydra/job_logging=none", "hydra/job_logging=none"),
        ("no_equals", "no_equals"),
    ],
)
def test_a_key_is_completed_whatever_stands_before_it(
    word: str, expected: str, groups: Path
) -> None:
    assert completed(groups, word) == [expected]


def test_a_key_that_two_sections_have_is_refused_with_both(groups: Path) -> None:
    (groups / "seeded.yaml").write_text(f"{FAILING_FILE}\nmine: {{width: 1}}")

    for name in ("net", "seeded"):
        with pytest.raises(ValueError, match="more than one section") as refused:
            completed(groups, "seed=1", name=name)
        assert "data_config.seed=1 or run_config.seed=1" in str(refused.value)

    words = ["run_config.seed=1", "++data_config.seed=2", "mine.width=3"]
    assert completed(groups, *words, name="seeded") == [
        "++run_config.seed=1",
        "++data_config.seed=2",
        "mine.width=3",
    ]


@pytest.mark.parametrize("word", ["lr=1", "kwargs.lr=1", "optimizer.lr=1"])
def test_the_end_of_a_key_is_told_whole(word: str, groups: Path) -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'optimizer\.kwargs\.lr'\?"):
        completed(groups, word)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("+kwargs.momentum=0.9", r"Did you mean 'optimizer\.kwargs\.momentum'\?"),
        ("kwargs.momentum=0.9", r"Did you mean 'optimizer\.kwargs\.momentum'\?"),
        ("+optimizer.lr=1", r"Did you mean 'optimizer\.kwargs\.lr'\?"),
        ("++trainer.max_epoch=1", "run_config.trainer, .* Did you mean 'max_epochs'"),
        ("+data.batches=1", "'data' is short for data_config, which has no 'batches'"),
        ("+fails_in.x=1", "short for .*fails_in, which has no 'x'.* as in [+]mine.x"),
    ],
)
def test_a_key_below_what_is_short_for_a_section_is_none_of_ones_own(
    word: str, message: str, groups: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        completed(groups, word)


def test_a_key_below_a_name_of_ones_own_may_be_called_as_one_of_the_sections(
    groups: Path,
) -> None:
    (groups / "own.yaml").write_text(f"{FAILING_FILE}\nkwargs: {{a: 1}}\n")

    for word in ["+kwargs.b=1", "+mine.optimizer.lr=1"]:
        assert completed(groups, word, name="own") == [word]


@pytest.mark.parametrize("word", ["opt=adam", "opt=adam,sgd", "opt=glob(*)", "~opt"])
def test_a_choice_of_a_group_stays_as_it_is(word: str, groups: Path) -> None:
    assert completed(groups, word) == [word]


def test_a_group_that_has_to_be_chosen_may_be(groups: Path) -> None:
    assert completed(groups, "opt=sgd", name="open") == ["opt=sgd"]


def test_keys_are_those_of_the_groups_that_are_chosen(groups: Path) -> None:
    short, full = "optimizer.kwargs.eps=1", "model_config.optimizer.kwargs.eps=1"

    assert completed(groups, short, "opt=adam") == [full, "opt=adam"]


def test_a_folder_of_more_groups_is_looked_into(groups: Path) -> None:
    (groups / "more/exp").mkdir(parents=True)
    (groups / "more/exp/wide.yaml").write_text("# @package _global_\nmine: {key: 1}\n")
    words = ["mine.key=2", "+exp=wide"]

    more = str(groups / "more")

    assert complete_keys(words, folder=groups, name="net", more_groups=more) == words


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("max_epoch=1", "unknown key 'max_epoch'.*max_epochs.*[+]max_epoch=1 adds"),
        ("op=adam", "unknown key 'op'. Did you mean 'opt'?"),
        ("lr=1", r"unknown key 'lr'. Did you mean 'optimizer.kwargs.lr'\?"),
        ("optimizer.lr=1", r"has no 'lr'. Did you mean 'optimizer.kwargs.lr'\?"),
    ],
)
def test_an_unknown_key_is_told_the_nearest(
    word: str, message: str, groups: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        completed(groups, word)


def test_a_class_that_is_not_there_is_told_in_place_of_its_keys(groups: Path) -> None:
    words = ["width=3", "data_config.module_name=failing_net.Dat"]

    with pytest.raises(ValueError, match=r"has no 'Dat'.* Did you mean 'Data'"):
        completed(groups, *words)
