"""Progress of saves and loads: a function, or a line on stderr."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.records import Recorder
from burnish.records.io.progress import ProgressLine, progress_below, progress_call
from burnish.train import Checkpoints

Call = tuple[int, int, str]


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(40, 50), nn.Linear(50, 60))


PATHS = ["0.weight", "0.bias", "1.weight", "1.bias"]
SIZE = 4 * (40 * 50 + 50 + 50 * 60 + 60)

VERBS: dict[str, Callable[[Path, Any], object]] = {
    "save_record": lambda file, p: burnish.save_record(net(), file, progress=p),
    "load_record": lambda file, p: burnish.load_record(net(), file, progress=p),
    "from_record": lambda file, p: burnish.from_record(net, file, progress=p),
    "verify_file": lambda file, p: burnish.verify_file(file, progress=p),
    "load_all": lambda file, p: burnish.open_record(file, progress=p).load_all(),
    "of the opened record": lambda file, p: burnish.load_record(
        net(), burnish.open_record(file, progress=p)
    ),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst", ".json", ".safetensors", ".pt"])
def test_every_verb_tells_of_all_bytes_in_order(
    tmp_path: Path, verb: str, suffix: str
) -> None:
    file, calls = tmp_path / f"net{suffix}", list[Call]()
    if suffix == ".pt":
        torch.save(net().state_dict(), file)
        if verb == "save_record":
            pytest.skip("files of torch are only read")
    else:
        burnish.save_record(net(), file)

    VERBS[verb](file, lambda *call: calls.append(call))

    done = [n_done for n_done, _, _ in calls]
    assert done == sorted(done)
    assert done[-1] == SIZE
    assert {n_bytes for _, n_bytes, _ in calls} == {SIZE}
    assert {path for _, _, path in calls} == {*PATHS}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("progress", [3, "yes"])
def test_what_is_no_progress_is_refused_by_every_verb(
    tmp_path: Path, verb: str, progress: Any
) -> None:
    burnish.save_record(net(), tmp_path / "net.mpk")

    with pytest.raises(TypeError, match=f"progress must be True.*got {progress!r}"):
        VERBS[verb](tmp_path / "net.mpk", progress)


def stop(*call: Any) -> None:
    raise RuntimeError("that is enough")


def test_a_progress_that_raises_leaves_file_and_module_as_they_were(
    tmp_path: Path,
) -> None:
    file, module = tmp_path / "net.mpk", net()
    burnish.save_record(net(), file)
    content, values = file.read_bytes(), [p.clone() for p in module.parameters()]

    with pytest.raises(RuntimeError):
        burnish.save_record(module, file, progress=stop)
    with pytest.raises(RuntimeError):
        burnish.load_record(module, file, progress=stop)

    assert file.read_bytes() == content
    assert [f.name for f in tmp_path.iterdir()] == ["net.mpk"]
    assert all(map(torch.equal, module.parameters(), values))


STOPS: dict[str, Callable[[Path, Any], object]] = {
    **VERBS,
    "wait": lambda file, p: burnish.save_record(
        net(), file, wait=False, progress=p
    ).wait(),
    "lazy": lambda file, p: burnish.save_record(
        net(), file, wait=False, snapshot="lazy", progress=p
    ).wait(),
    "as bytes": lambda file, p: Recorder("json").dumps(
        burnish.open_record(file), progress=p
    ),
    "diff": lambda file, p: burnish.diff(file, net(), progress=p),
}


@pytest.mark.parametrize("verb", STOPS)
@pytest.mark.parametrize(
    "suffix", [".mpk", ".mpk.zst", ".mpk.gz", ".json", ".safetensors", ".bpk"]
)
@pytest.mark.parametrize("kind", [StopIteration, GeneratorExit, KeyboardInterrupt])
def test_what_a_progress_raises_comes_out_as_itself(
    tmp_path: Path, verb: str, suffix: str, kind: type[BaseException]
) -> None:
    file, error = tmp_path / f"net{suffix}", kind("enough")
    burnish.save_record(net(), file)

    def end(*call: Any) -> None:
        raise error

    with pytest.raises(kind) as caught:
        STOPS[verb](file, end)

    assert caught.value is error


class Bar:
    """A bar as that of tqdm: a class whose objects are moved by `update`."""

    def __init__(self, iterable: Any = None, total: Any = None) -> None:
        self.n = 0

    def update(self, n: int) -> None:
        self.n += n


@pytest.mark.parametrize(
    "progress", [Bar, Bar(), Bar().update], ids=["class", "bar", "method"]
)
def test_a_bar_is_refused_before_anything_is_written(
    tmp_path: Path, progress: Any
) -> None:
    with pytest.raises(TypeError, match=r"function of \(bytes done") as caught:
        burnish.save_record(net(), tmp_path / "net.mpk", progress=progress)

    assert [*tmp_path.iterdir()] == []
    assert "progress=move" in str(caught.value)


@pytest.mark.parametrize("wait", [True, False])
def test_checkpoints_tell_of_one_part_after_the_other(
    tmp_path: Path, wait: bool
) -> None:
    calls: list[Call] = []
    module = net()
    parts: dict[str, Any] = {"model": module, "best": net()}
    checkpoints = Checkpoints(
        tmp_path, wait=wait, progress=lambda *call: calls.append(call)
    )

    with checkpoints:
        checkpoints.save(1, **parts)
    expected = [f"{part}.{path}" for part in parts for path in PATHS]
    assert [path for _, _, path in calls] == expected
    calls.clear()
    checkpoints.restore(**parts)

    assert [path for _, _, path in calls] == expected
    assert calls[-1][:2] == (SIZE, SIZE)


def test_a_progress_that_raises_leaves_checkpoints_and_parts(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, model=net())
    module = net()
    values = [p.clone() for p in module.parameters()]
    stopped = Checkpoints(tmp_path, progress=stop)

    with pytest.raises(RuntimeError):
        stopped.save(2, model=module)
    with pytest.raises(RuntimeError):
        stopped.restore(model=module)

    assert Checkpoints(tmp_path).steps == [1]
    assert all(map(torch.equal, module.parameters(), values))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def line(stream: io.StringIO, times: list[float]) -> ProgressLine:
    return ProgressLine(stream, iter(times).__next__)


def test_a_line_appears_after_a_second_and_ends_with_the_last_byte() -> None:
    stream, mib = Terminal(), 1 << 20
    progress = line(stream, [0.0, 0.5, 1.5, 1.55, 2.0])

    for n_done in (1, 2, 3, 4):
        progress(n_done * mib, 4 * mib, "layers.0.weight")

    shown = stream.getvalue().split("\r")
    assert shown[1].startswith(" 50% of 4.0 MiB, 1.3 MiB/s, layers.0.weight")
    assert shown[2].startswith("100% of 4.0 MiB, 2.0 MiB/s")
    assert shown[2].endswith("\n")
    assert len(shown) == 3


def test_what_takes_no_second_writes_nothing() -> None:
    stream = Terminal()
    progress = line(stream, [0.0, 0.2, 0.4])

    progress(1, 2, "a")
    progress(2, 2, "b")

    assert stream.getvalue() == ""


def test_a_log_gets_a_line_every_ten_seconds_without_control_characters() -> None:
    stream = io.StringIO()
    progress = line(stream, [0.0, 5.0, 11.0, 12.0, 13.0])

    for n_done in (1, 2, 3, 4):
        progress(n_done, 4, "x" * 90)

    lines = stream.getvalue().splitlines()
    assert [text[:4] for text in lines] == [" 50%", "100%"]
    assert not {"\r", "\x1b"} & {*stream.getvalue()}
    assert len(lines[0]) < 80


def test_parts_stand_before_their_paths() -> None:
    calls: list[Call] = []
    progress = progress_below("model", lambda *call: calls.append(call))

    assert callable(progress)
    progress(1, 2, "w")

    assert calls == [(1, 2, "model.w")]
    assert progress_below("model", None) is None is progress_call(False)


def test_a_name_never_steers_the_terminal() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream, iter([0.0, 99.0, 199.0]).__next__)

    line(1, 2, "\x1b[2Jname")

    assert "\x1b" not in stream.getvalue()
    assert r"\x1b[2Jname" in stream.getvalue()


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


class NobodyReads(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("stderr", [None, closed(), NobodyReads()])
def test_a_save_goes_on_where_nobody_can_read_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: Any
) -> None:
    file, clock = tmp_path / "net.mpk", iter(range(0, 10_000, 20))
    monkeypatch.setattr("sys.stderr", stderr)
    burnish.save_record(net(), file, progress=True)

    line = ProgressLine(clock=lambda: next(clock))
    burnish.save_record(net(), file, progress=line)
    burnish.verify_file(file, progress=line)
