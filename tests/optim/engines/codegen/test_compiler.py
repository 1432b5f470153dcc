"""fused=True compiles what it can, and falls back with one warning where it cannot."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.optim import engine_report
from burnish.optim.engines import compiled
from burnish.optim.engines.codegen import compiler

from ...nets import Net, UserAdamW, distance, drive, engine_names


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget programs, warnings and the compiler that was found."""
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "_programs", {})
    monkeypatch.setattr(compiled, "_warned", set())
    compiler._compiler.cache_clear()  # pyright: ignore[reportPrivateUsage]  # what the test is about
    yield
    compiler._compiler.cache_clear()  # pyright: ignore[reportPrivateUsage]  # what the test is about


def drive_both(engine: Any, left: Net, right: Net) -> None:
    drive(engine, left, 1, 2, 3)
    drive(UserAdamW().bind(right, lr=1e-2, fused=True), right, 1, 2, 3)


def falls_back(match: str) -> None:
    left, right = Net(large=False), Net(large=False)
    engine = UserAdamW().bind(left, lr=1e-2, fused=True)

    with pytest.warns(RuntimeWarning, match=match) as caught:
        drive_both(engine, left, right)

    assert len(caught) == 1
    assert engine_names(engine) == {"blocks"}
    assert re.search(f"not compiled: .*{match}", engine_report(engine)[0].why)
    assert distance(left, right) == 0.0


def test_no_compiler_is_one_warning_and_the_default_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)

    falls_back("no C compiler found")


def test_a_compiler_that_fails_is_one_warning_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho out of paper >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))

    falls_back("out of paper")


def test_a_compiler_whose_programs_do_not_load_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = tmp_path / "cc"
    strange.write_text(
        '#!/bin/sh\nfor a; do case $a in *.so) echo x > "$a";; esac; done\n'
    )
    strange.chmod(0o755)
    monkeypatch.setenv("CC", str(strange))

    falls_back("cannot be loaded")


def test_a_cache_that_cannot_be_made_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "file"))

    falls_back("cache folder cannot be created")


def test_a_cache_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "programs"
    folder.mkdir(parents=True)
    folder.chmod(0o777)

    falls_back("can be written by others")


def test_programs_are_private_and_compiled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Net(large=False)
    drive(UserAdamW().bind(net, lr=1e-2, fused=True), net, 1)
    folder = tmp_path / "cache" / "programs"
    files = sorted(folder.iterdir())
    compiled._programs.clear()  # pyright: ignore[reportPrivateUsage]  # as in a new process
    monkeypatch.setattr(compiler, "_compile", None)

    adaptor = UserAdamW().bind(net, lr=3e-2, fused=True)
    drive(adaptor, net, 2)

    assert engine_report(adaptor)[0].engine == "compiled"
    assert [file.suffix for file in files] == [".so", ".sum"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == os.getuid()


def test_a_cut_program_is_compiled_again(tmp_path: Path) -> None:
    net = Net(large=False)
    drive(UserAdamW().bind(net, lr=1e-2, fused=True), net, 1)
    file = next((tmp_path / "cache" / "programs").glob("*.so"))
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(whole[:100])
    compiled._programs.clear()  # pyright: ignore[reportPrivateUsage]  # as in a new process

    drive(UserAdamW().bind(net, lr=1e-2, fused=True), net, 2)

    assert len(file.read_bytes()) > 1000


def test_the_default_never_runs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "load_library", None)
    monkeypatch.setattr(compiled, "load_library", None)
    net = Net(large=False)

    drive(UserAdamW().bind(net, lr=1e-2), net, 1)

    assert torch.isfinite(net.a).all()
