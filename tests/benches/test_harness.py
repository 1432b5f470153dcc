import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHES = Path(__file__).parents[2] / "benches"


@pytest.fixture(scope="module", autouse=True)
def bench_folder() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHES))
        yield


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Any:
    # Each collection would go through all that the tests before have left.
    monkeypatch.setattr("gc.collect", lambda: 0)
    return importlib.import_module("harness")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = importlib.import_module("results")
    monkeypatch.setattr(module, "FILE", tmp_path / "RESULTS.md")
    return module


def test_runners_take_turns_and_the_order_alternates(harness: Any) -> None:
    order: list[str] = []

    times = harness.race(
        {"ours": lambda: order.append("o"), "peer": lambda: order.append("p")}, pairs=3
    )

    assert "".join(order) == "po" + "op" + "po" + "op"
    assert len(times["ours"].cpu) == len(times["peer"].wall) == 3


def test_what_comes_before_a_run_comes_before_every_run(harness: Any) -> None:
    order: list[str] = []

    harness.race(
        {"a": lambda: order.append("a")}, pairs=2, before=lambda: order.append("-")
    )

    assert "".join(order) == "-a" * 3


def test_processes_that_race_together_end_with_the_same_round(harness: Any) -> None:
    votes: list[bool] = []

    def ends(is_over: bool) -> bool:
        votes.append(is_over)
        return len(votes) == 3

    times = harness.race({"a": lambda: None}, pairs=9, ends=ends)

    assert votes == [False] * 3
    assert len(times["a"].cpu) == 2


def test_the_ratio_is_the_median_of_the_rounds_and_is_held_to_the_target(
    harness: Any,
) -> None:
    ours = harness.Samples(cpu=[1.0, 2.0, 9.0], wall=[1.0, 1.0, 1.0])
    peer = harness.Samples(cpu=[2.0, 2.0, 3.0], wall=[4.0, 4.0, 4.0])

    by_cpu = harness.Row.timed("save", "x", ours, peer, at_most=0.9)
    by_wall = harness.Row.timed("save", "x", ours, peer, at_most=0.9, by="wall")

    assert (by_cpu.ratio, by_cpu.spread, by_cpu.met) == (1.0, (0.75, 2.0), False)
    assert (by_wall.ratio, by_wall.met, by_wall.unit) == (0.25, True, "ms wall")


def test_a_forked_run_answers_or_says_what_went_wrong(harness: Any) -> None:
    assert harness.forked(lambda: [os.getpid()]) != [os.getpid()]
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        harness.forked(lambda: 1 // 0)


def test_memory_counts_the_peak_and_what_is_kept(harness: Any) -> None:
    mib = harness.MIB

    def peaks() -> bytearray:
        bytearray(os.urandom(1) * (40 * mib))
        return bytearray(os.urandom(1) * (8 * mib))

    memory = harness.extra_memory(peaks)

    assert 40 * mib <= memory.peak < 100 * mib
    assert 7 * mib <= memory.own < 20 * mib


def test_bytes_are_counted_as_they_are_asked_for(harness: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(5000))

    # In a process of its own: other threads of this one may read as well.
    def count() -> list[int]:
        return [
            harness.bytes_requested(file.read_bytes),
            harness.bytes_requested(lambda: None),
        ]

    # The counter is itself read, as text whose length varies.
    assert harness.forked(count) == pytest.approx([5000, 0], abs=16)


def test_one_section_is_rewritten_and_the_others_stay(
    harness: Any, results: Any
) -> None:
    def row(ours: float) -> Any:
        return harness.Row.bounded("size", "all", ours, "MiB", at_most=8)

    results.write_section("a", "How large is a?", [row(1)])
    results.write_section("b", "How large is b?", [row(2)])
    results.write_section("a", "How large is a?", [row(9)])

    text = results.FILE.read_text()
    assert text.count("## How large is a?") == text.count("## How large is b?") == 1
    assert "| size | all | 9 |  | MiB |  |  | <= 8 MiB | **no** |" in text
    assert "| size | all | 2 |  | MiB |  |  | <= 8 MiB | yes |" in text
    assert text.index("is a?") < text.index("is b?")


def test_every_bench_asks_one_question_and_has_a_run() -> None:
    benches = importlib.import_module("run").questions()

    assert {"save", "durable", "compress", "cold_start", "partial"} <= benches.keys()
    for name, question in benches.items():
        assert question.count("?") == 1
        assert "\ndef run() -> list[Row]:\n" in (BENCHES / f"{name}.py").read_text()


def test_what_cannot_be_measured_says_so_and_keeps_older_figures(
    harness: Any, results: Any
) -> None:
    row = harness.Row.bounded("size", "all", 1, "MiB", at_most=8)

    results.write_unmeasured("a", "How large is a?", "there is no a")
    assert "Not measured: there is no a." in results.FILE.read_text()
    results.write_section("a", "How large is a?", [row])
    measured = results.FILE.read_text()
    assert "Not measured" not in measured
    results.write_unmeasured("a", "How large is a?", "there is no a any more")

    assert results.FILE.read_text() == measured


def test_a_bench_without_its_device_ends_well(
    harness: Any,
    results: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, gpu = importlib.import_module("run"), importlib.import_module("gpu")

    def refuse() -> None:
        raise harness.Unmeasured("there is none")

    monkeypatch.setattr(gpu, "check_device", refuse)
    run.run_here("gpu", "How fast?")

    assert "not measured: there is none" in capsys.readouterr().out
    assert "## How fast?\n\nNot measured: there is none." in results.FILE.read_text()


def counted(harness: Any, monkeypatch: pytest.MonkeyPatch, times: list[float]) -> int:
    """Return how many rounds a race takes whose runs take ``times`` in turn."""
    n_runs = 0

    def timed(*_: object) -> tuple[float, float]:
        nonlocal n_runs
        seconds = times[n_runs % len(times)]
        n_runs += 1
        return seconds, seconds

    monkeypatch.setattr(harness, "_timed", timed)
    harness.race({"ours": lambda: None, "peer": lambda: None}, pairs=9)
    return n_runs // 2


def test_a_race_ends_early_where_its_ratios_are_narrow(
    harness: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A warm-up, and as few rounds as there may be.
    assert counted(harness, monkeypatch, [1.0]) == 1 + harness.FEWEST


def test_a_race_takes_all_rounds_where_its_ratios_differ(
    harness: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert counted(harness, monkeypatch, [1.0, 1.5, 1.2, 1.0, 1.7, 1.1]) == 1 + 9
