"""Words of Hydra are taken in any order, and what is none is told in words."""

import pytest

from burnish.cli.hydra_words import HydraWords

from .runs import EXAMPLE_RUNS

pytestmark = EXAMPLE_RUNS

SETTINGS = ["lr=0.1", "+mine=1", "~scheduler", "width=1,2"]


@pytest.mark.parametrize("flag", ["--multirun", "-m"])
@pytest.mark.parametrize("place", range(len(SETTINGS) + 1))
def test_a_sweep_may_be_asked_for_at_any_place(flag: str, place: int) -> None:
    argv = [*SETTINGS[:place], flag, "-cn", "net", *SETTINGS[place:]]

    words = HydraWords.of(argv)

    assert list(words.overrides) == SETTINGS
    assert words.options == ["--multirun"]
    assert words.config_name == "net"


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        (["--cfg", "job", "-p", "run_config"], {"--cfg=job", "--package=run_config"}),
        (["--cfg=all", "--resolve"], {"--cfg=all", "--resolve"}),
        (["-i"], {"--info=all"}),
        (["--info", "defaults"], {"--info=defaults"}),
        (["--config-dir", "a=b"], {"--config-dir=a=b"}),
        (["--hydra-help"], {"--hydra-help"}),
    ],
)
def test_an_option_keeps_its_value_and_takes_no_setting_for_one(
    argv: list[str], options: set[str]
) -> None:
    words = HydraWords.of(["a=1", *argv, "lr=0.1", "-cp", "conf", "b=2"])

    assert {*words.options} == options
    assert list(words.overrides) == ["a=1", "lr=0.1", "b=2"]
    assert words.config_path == "conf"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--max_epochs=1"], "unknown option --max_epochs; a key has no dashes: max_e"),
        (["--max_epochs", "1"], "a key has no dashes: max_epochs=1$"),
        (["--multrun"], "unknown option --multrun. Did you mean '--multirun'?"),
        (["--config-name"], "expected one argument; see --help"),
        (["--cfg", "jobs"], "invalid choice: 'jobs'"),
        (["-m", "--cfg", "job"], "--multirun and --cfg cannot be combined"),
        (["--resolve"], "--resolve needs --cfg"),
        (["-sc", "install=bash"], 'eval "\\$\\(burnish completion bash\\)"'),
        (["--experimental-rerun", "config.pickle"], "it reads a pickle"),
    ],
)
def test_a_wrong_option_is_told_in_words(argv: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HydraWords.of(argv)
