"""Checkpoints behind a URL: what is asked, what stands there, what a failure leaves."""

import copy
import json
import logging
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import AdamW
from burnish.records import RecordFormatError, Url
from burnish.train import Checkpoints

from .runs import filled, net, same

fsspec: Any = pytest.importorskip("fsspec")
from ...records.object_storage import CountingStorage  # noqa: E402
from ...records.s3_server import s3_server  # noqa: E402

URL = "counting://bucket/run"


pytestmark = pytest.mark.usefixtures("empty_storage")


def names() -> list[str]:
    return sorted(name.removeprefix("bucket/run/") for name in CountingStorage.objects)


def value_at(checkpoints: Checkpoints, step: Any = "latest") -> float:
    target = net()
    checkpoints.restore(step, net=target)
    return next(target.parameters()).flatten()[0].item()


def save(checkpoints: Checkpoints, step: int, **values: Any) -> None:
    checkpoints.save(step, net=filled(net(), float(step)), **values)


class Failing(RuntimeError):
    """What a storage answers that is not there."""


def fail_at(
    monkeypatch: pytest.MonkeyPatch, method: str, part: str, error: BaseException
) -> None:
    usual = getattr(CountingStorage, method)

    def failing(self: Any, path: str, *args: Any, **options: Any) -> Any:
        if part in path:
            raise error
        return usual(self, path, *args, **options)

    monkeypatch.setattr(CountingStorage, method, failing)


@pytest.mark.parametrize("url", [URL, "memory://bucket/run of%20#ü?", "memory://b/"])
@pytest.mark.parametrize("wait", [True, False])
def test_a_run_goes_on_from_a_url_to_the_bit(url: str, wait: bool) -> None:
    def step(model: nn.Module, optim: Any) -> None:
        optim.zero_grad()
        model(torch.randn(8, 4)).square().sum().backward()
        optim.step()

    torch.manual_seed(0)
    model = net()
    optim = AdamW().bind(model, lr=1e-2)
    with Checkpoints(url, wait=wait) as checkpoints:
        assert checkpoints.restore(model=model, optim=optim, rng=True) == 0
        for _ in range(3):
            step(model, optim)
        saved = checkpoints.save(3, model=model, optim=optim, rng=True, loss=0.5)
        saved.wait()
        step(model, optim)

    model_again = net()
    optim_again = AdamW().bind(model_again, lr=1e-2)
    again = Checkpoints(url)
    assert again.restore(model=model_again, optim=optim_again, rng=True) == 3
    step(model_again, optim_again)

    assert same(model, model_again)
    assert (again.steps, again.latest, again[3].values) == ([3], 3, {"loss": 0.5})
    assert isinstance(again.folder, Url)
    assert burnish.open_record(again[3].file("model"))
    fsspec.filesystem("memory").rm("/", recursive=True)


def test_a_save_is_committed_by_its_last_small_objects_and_lists_nothing() -> None:
    checkpoints = Checkpoints(URL, keep_last=1)
    save(checkpoints, 1)
    CountingStorage.forget()

    save(checkpoints, 2)

    puts = [call for call in CountingStorage.calls if call.startswith("put")]
    assert [put.rpartition("/")[2] for put in puts][1:] == [
        "checkpoint.json",
        "checkpoints.json",
    ]
    deletes = [i for i, c in enumerate(CountingStorage.calls) if c.startswith("del")]
    assert len(deletes) == 2
    assert min(deletes) > CountingStorage.calls.index(puts[-1])
    assert [name.partition("/")[0] for name in names()] == [
        "checkpoints.json",
        *["step000000000002"] * 2,
    ]


def test_the_newest_is_restored_without_listing() -> None:
    save(Checkpoints(URL), 1)
    CountingStorage.refused.update(("ls", "delete"))
    CountingStorage.forget()

    assert value_at(Checkpoints(URL)) == 1

    kinds = [call.partition(" ")[0] for call in CountingStorage.calls]
    assert sorted(kinds) == ["get"] * 5 + ["head"] * 3


def test_the_last_and_the_best_stay() -> None:
    checkpoints = Checkpoints(URL, keep_last=2, keep_best="loss")

    for step in range(1, 6):
        save(checkpoints, step, loss=abs(step - 2))

    assert (checkpoints.steps, checkpoints.best) == ([2, 4, 5], 2)
    assert value_at(checkpoints, "best") == 2


def test_a_step_that_is_saved_again_takes_the_place_of_the_older_one() -> None:
    checkpoints = Checkpoints(URL)
    checkpoints.save(1, net=filled(net(), 7.0))

    save(checkpoints, 1)

    assert value_at(checkpoints) == 1
    assert len(names()) == 3


@pytest.mark.parametrize("part", ["net", "checkpoint.json"])
@pytest.mark.parametrize("error", [Failing("gone"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", [1, 2])
def test_a_save_that_fails_leaves_what_was_there(
    part: str, error: BaseException, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(URL)
    checkpoints.save(1, net=filled(net(), 7.0))
    before = names()
    fail_at(monkeypatch, "pipe_file", part, error)

    kind = OSError if isinstance(error, Exception) else KeyboardInterrupt
    with pytest.raises(kind):
        save(checkpoints, step)

    monkeypatch.undo()
    assert names() == before
    assert (checkpoints.steps, value_at(checkpoints)) == ([1], 7)


@pytest.mark.parametrize("step", [1, 2])
def test_whichever_request_of_a_save_fails_a_whole_checkpoint_is_the_newest(
    step: int,
) -> None:
    """Step 1 is saved again, 2 is new; another request fails each time."""
    for n_answered in range(_MOST_REQUESTS):
        CountingStorage.objects.clear()
        checkpoints = Checkpoints(URL, keep_last=1)
        checkpoints.save(1, net=filled(net(), 7.0))
        CountingStorage.answers[:] = [*[True] * n_answered, False]
        has_failed = False
        try:
            save(checkpoints, step)
        except OSError:
            has_failed = True
        CountingStorage.answers.clear()

        assert (value_at(checkpoints), checkpoints.latest) in ((7, 1), (step, step))
        assert has_failed or value_at(checkpoints) == step
        save(checkpoints, 3)
        assert (checkpoints.steps, value_at(checkpoints)) == ([3], 3)
        assert value_at(Checkpoints(URL)) == 3


def test_whichever_request_of_a_restore_fails_nothing_is_changed() -> None:
    checkpoints = Checkpoints(URL)
    save(checkpoints, 1)
    n_failures = 0
    for n_answered in range(_MOST_REQUESTS):
        target = filled(net(), 5.0)
        before = copy.deepcopy(target)
        CountingStorage.answers[:] = [*[True] * n_answered, False]
        try:
            checkpoints.restore(net=target)
        except OSError:
            n_failures += 1
            assert same(target, before)
        CountingStorage.answers.clear()

    assert 5 < n_failures < _MOST_REQUESTS


_MOST_REQUESTS = 25
"""More than a save or a restore takes."""


def test_an_index_that_cannot_be_written_is_said_and_the_next_save_writes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints = Checkpoints(URL)
    save(checkpoints, 1)
    fail_at(monkeypatch, "pipe_file", "checkpoints.json", Failing("gone"))
    with pytest.raises(OSError, match=r"gone; what was saved .*checkpoints\.json"):
        save(checkpoints, 2)
    monkeypatch.undo()
    assert (checkpoints.steps, value_at(checkpoints)) == ([1], 1)

    save(checkpoints, 3)

    assert checkpoints.steps == [1, 2, 3]


def test_what_a_killed_save_left_is_never_the_newest_and_goes_after_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save(Checkpoints(URL), 1)
    left = "bucket/run/step000000000002/net.01234567.mpk"
    CountingStorage.put(left, b"half")
    other = "bucket/run/logs/step.txt"
    CountingStorage.put(other, b"mine")
    assert Checkpoints(URL).latest == 1
    save(Checkpoints(URL), 3)
    assert left in CountingStorage.objects

    monkeypatch.setattr(
        "burnish.records.io.remote.stored_folder._age", lambda _: 100_000.0
    )
    save(Checkpoints(URL), 4)

    assert left not in CountingStorage.objects
    assert other in CountingStorage.objects


def test_a_run_that_was_copied_to_a_storage_is_found_by_listing(tmp_path: Any) -> None:
    local = Checkpoints(tmp_path)
    for step in (1, 2):
        save(local, step)
    for file in sorted(tmp_path.rglob("*.*")):
        path = f"bucket/run/{file.relative_to(tmp_path)}"
        CountingStorage.put(path, file.read_bytes())

    checkpoints = Checkpoints(URL)

    assert (checkpoints.steps, value_at(checkpoints)) == ([1, 2], 2)
    save(checkpoints, 3)
    assert checkpoints.steps == [1, 2, 3]


def test_a_folder_of_a_storage_is_one_of_this_machine_when_it_is_copied(
    tmp_path: Any,
) -> None:
    save(Checkpoints(URL), 1)
    for name in names():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(CountingStorage.objects[f"bucket/run/{name}"])

    assert value_at(Checkpoints(tmp_path)) == 1


def test_a_storage_that_lists_nothing_is_said_where_a_run_has_no_index() -> None:
    CountingStorage.refused.add("ls")

    with pytest.raises(PermissionError, match=r"checkpoints\.json"):
        Checkpoints(URL).restore(net=net())
    with pytest.raises(PermissionError, match=r"counting://bucket/run"):
        save(Checkpoints(URL), 1)

    CountingStorage.put("bucket/run/checkpoints.json", b'{"burnish":1,"numbers":[]}')
    save(Checkpoints(URL), 1)
    assert value_at(Checkpoints(URL)) == 1


def test_older_ones_that_cannot_be_removed_stay_and_are_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checkpoints = Checkpoints(URL, keep_last=1)
    save(checkpoints, 1)
    CountingStorage.refused.add("delete")

    with caplog.at_level(logging.WARNING, "burnish"):
        save(checkpoints, 2)

    assert "could not be removed" in caplog.text
    assert (checkpoints.steps, value_at(checkpoints)) == ([2], 2)


def test_a_checkpoint_that_lost_an_object_is_no_older_run() -> None:
    checkpoints = Checkpoints(URL)
    for step in (1, 2):
        save(checkpoints, step)
    part = next(n for n in CountingStorage.objects if "2/net" in n)
    content = CountingStorage.objects.pop(part)
    with pytest.raises(RecordFormatError, match="which is missing"):
        checkpoints.restore(net=net())
    CountingStorage.objects[part] = content
    del CountingStorage.objects["bucket/run/step000000000002/checkpoint.json"]

    with pytest.raises(RecordFormatError, match=r"without checkpoint\.json"):
        checkpoints.restore(net=net())

    assert value_at(checkpoints, 1) == 1


@pytest.mark.parametrize(
    "index", [b"", b"{", b'{"burnish": 1, "numbers": [-1]}', b"[]"]
)
def test_a_damaged_index_is_said_with_its_cure(index: bytes) -> None:
    save(Checkpoints(URL), 1)
    CountingStorage.put("bucket/run/checkpoints.json", index)

    with pytest.raises(RecordFormatError, match="Remove it"):
        Checkpoints(URL).restore(net=net())

    del CountingStorage.objects["bucket/run/checkpoints.json"]
    assert value_at(Checkpoints(URL)) == 1


def test_a_newer_index_is_refused() -> None:
    CountingStorage.put(
        "bucket/run/checkpoints.json", json.dumps({"burnish": 2}).encode()
    )

    with pytest.raises(burnish.records.RecordVersionError, match="run"):
        _ = Checkpoints(URL).latest


def test_links_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"counting://bucket/run: .*hard links"):
        Checkpoints(URL, unchanged="link")


def test_one_checkpoint_of_a_run_is_no_run() -> None:
    save(Checkpoints(URL), 1)

    with pytest.raises(ValueError, match=r"Checkpoints\('counting://bucket/run'\)"):
        Checkpoints(f"{URL}/step000000000001/")


def test_on_s3_a_save_and_a_restore_are_a_dozen_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with s3_server(monkeypatch) as server:
        checkpoints = Checkpoints("s3://burnish/a run%20#é", keep_last=1)
        save(checkpoints, 1)
        server.forget()
        save(checkpoints, 2)
        saved = server.calls
        server.forget()
        assert value_at(checkpoints) == 2
        restored = server.calls

        with pytest.raises(FileNotFoundError, match=r"bucket does not exist"):
            Checkpoints("s3://nowhere-at-all/run").restore(net=net())

    assert saved.count("put_object") == 3
    assert [*reversed(saved)].index("put_object") == 3
    assert saved[:2] == ["head_object", "list_objects_v2"]  # is an older one there?
    assert saved[-3:] == ["list_objects_v2", *["delete_object"] * 2]
    assert len(saved) == 12
    assert sorted(restored) == ["get_object"] * 5 + ["head_object"] * 6
