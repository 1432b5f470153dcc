"""What Lightning says in a run is said once, and its offers are not."""

import logging
from pathlib import Path

import pytest

from burnish.cli.lightning_output import lightning_output
from burnish.cli.main import main

from .runs import EXAMPLE_RUNS

pytestmark = EXAMPLE_RUNS


def test_no_line_is_said_twice_and_nothing_is_offered(
    failing: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = "++model_config.checkpoint={monitor:null,save_top_k:1}"

    assert main(["fit", *failing, "max_epochs=2", checkpoint]) == 0

    printed = capfd.readouterr()
    messages = [line.partition(" - ")[2] for line in printed.out.splitlines()]
    logged = [message for message in messages if message]
    assert "`Trainer.fit` stopped: `max_epochs=2` reached." in logged
    assert len({*logged}) == len(logged)
    assert not any("Tip" in message or "100%" in message for message in logged)
    assert printed.err == ""
    log = Path("run/fit.log").read_text().splitlines()
    assert [line.partition(" - ")[2] for line in log] == logged


def test_afterwards_lightning_says_all_that_it_did_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    offer = "\N{ELECTRIC LIGHT BULB} Tip: buy"

    with caplog.at_level(logging.INFO):
        with lightning_output():
            logger.info(offer)
        assert caplog.messages == []
        logger.info(offer)

    assert caplog.messages == [offer]
