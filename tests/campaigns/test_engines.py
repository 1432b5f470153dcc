"""Drawn steps on every engine, as many as a test may take; `make fuzz` takes more."""

import pytest
import torch

from burnish.optim.engines.loop import Loop

from .batch import small_blocks
from .engines import TOGETHER, Case, Cases, Defect, outcome, sources_of
from .sanitizers import available, sanitized


@pytest.mark.parametrize("number", [0, TOGETHER])
def test_a_drawn_step_gives_on_every_engine_what_is_written(number: int) -> None:
    reports: list[str] = []
    cases = Cases(7, reports.append, together=20)

    # In this process: a child would inherit threads that are not there.
    with cases:
        letters = [cases(number + i) for i in range(20)]

    assert reports == []
    assert letters.count("e") > 15


def test_an_engine_that_moves_a_parameter_elsewhere_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare = Loop.prepare

    def wrong(self: Loop, bucket: object, grads: object, step: object) -> object:
        job = prepare(self, bucket, grads, step)  # type: ignore[arg-type]  # passed on

        def moving() -> None:
            job()
            for param in bucket.params:  # type: ignore[attr-defined]  # a bucket
                param.add_(1.0)

        return moving

    monkeypatch.setattr(Loop, "prepare", wrong)
    case = next(c for n in range(100) if _moves(c := Case(n, 7)))

    # Cases put back how many threads torch has.
    with Cases(7, print), torch.no_grad(), pytest.raises(Defect, match=r"loop|blocks"):
        outcome(case)


def _moves(case: Case) -> bool:
    """Return whether a case steps finite parameters of some size."""
    params = case.params()
    grads = case.grads(params, 0)
    sizes = [p.numel() for p, g in zip(params, grads, strict=True) if g is not None]
    usual = not case.is_special and case.dtype is torch.float32
    return usual and any(sizes)


NO_SANITIZERS = available()


@pytest.mark.skipif(bool(NO_SANITIZERS), reason=NO_SANITIZERS)
def test_the_generated_c_is_clean_under_sanitizers() -> None:
    with small_blocks():
        sources = sources_of(range(TOGETHER, TOGETHER + 10), 5)

    assert len(sources) > 5
    assert any("stream_of(row[" in source for source in sources), "none is stochastic"
    assert sanitized(sources[:10]) == []


@pytest.mark.skipif(bool(NO_SANITIZERS), reason=NO_SANITIZERS)
def test_c_that_reads_behind_a_tensor_is_noticed_and_passed_by() -> None:
    with small_blocks():
        first, second, *_ = sources_of(range(TOGETHER, TOGETHER + 10), 7)
    wrong = first.replace("b0[i]", "b0[i + 1]")

    faults = sanitized([second, wrong, second])

    assert [number for number, _ in faults] == [1]
    assert "heap-buffer-overflow" in faults[0][1]


def test_masters_and_stochastic_rounding_are_drawn() -> None:
    half = [c for n in range(60) if (c := Case(n, 7)).dtype.itemsize == 2]

    params = [(case, case.params()[0]) for case in half]

    assert any(case.precision.has_master(param) for case, param in params)
    assert any(case.precision.rounds(param) for case, param in params)
