"""The processes of one run: the first starts all others, and they end with it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from ...config.short_text import quantity
from .first_failure import MARK as FAILURE_MARK
from .first_failure import FirstFailure
from .sent_run import MARK, SentRun, is_first_process

_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables set by Lightning for a run, which would be misread in the next one."""

_POLL = 0.2
_PATIENCE = 5.0
"""Seconds within which the first process notices the end of another one itself."""
_PATIENCE_IF_FIRST = 1.0
"""The same if no other process has recorded a failure, as after a kill."""


def start_others_by(trainer: Trainer, run: SentRun) -> None:
    """Let ``trainer`` start its other processes as ``burnish fit``, with this ``run``.

    Raises ValueError if it would not start them itself, or by copies of this one.
    """
    if trainer.world_size == 1 or not is_first_process():
        return
    strategy: Any = trainer.strategy
    launcher = strategy.launcher
    if not isinstance(launcher, _SubprocessScriptLauncher) or trainer.num_nodes > 1:
        raise ValueError(
            f"run_config.trainer: {quantity(trainer.num_nodes, 'machine')} and "
            f"{type(strategy).__name__} need processes that burnish fit cannot start; "
            "use num_nodes=1 and strategy=ddp (or auto), or write the loop "
            "yourself (docs/scale.md)"
        )
    environment = launcher.cluster_environment
    if environment.creates_processes_externally:
        raise ValueError(
            f"run_config.trainer.devices: {type(environment).__name__} reports "
            "that another program has started the processes; start burnish fit "
            "once, without torchrun; it starts the other processes itself"
        )
    strategy._launcher = CommandLauncher(environment, launcher.num_processes, run)


class CommandLauncher(_SubprocessScriptLauncher):
    """Starts processes with this command, each with the same run."""

    def __init__(self, environment: Any, num_processes: int, run: SentRun) -> None:
        super().__init__(environment, num_processes, num_nodes=1)
        self._run = run
        self._is_ending = False
        self._first_failure = FirstFailure()
        self._first_failed: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def launch(
        self,
        function: Callable[..., Any],
        *args: Any,
        trainer: Trainer | None = None,
        **kwargs: Any,
    ) -> Any:
        """Start the others the first time, then call ``function``."""
        self.cluster_environment.validate_settings(self.num_processes, self.num_nodes)
        if not self.procs:
            self._start()
            threading.Thread(target=self._watch, daemon=True).start()
        return function(*args, **kwargs)

    def kill(self, signum: int) -> None:
        """Send a signal to the others, whose end is not a failure then."""
        self._is_ending = True
        super().kill(signum)

    def end(self) -> None:
        """Wait until all other processes end; return at once if this one failed."""
        if sys.exc_info()[0] is not None or self._is_ending:
            self._kill_all()
        self._is_ending = True
        for process in self.procs:
            process.wait()
            if process.stdin is not None:
                with suppress(BrokenPipeError):
                    process.stdin.close()
        self._first_failure.remove()

    def failure(self) -> str:
        """Describe the unexpected end of another process, empty if there is none."""
        if self._is_ending:
            return ""
        is_first = self._first_failure.note()
        # A process that recorded its failure reports it first. One that was killed
        # records none, and loses the connection shortly before it has ended.
        patience = _PATIENCE_IF_FIRST if is_first else _PATIENCE
        deadline = time.monotonic() + patience
        while not self._failed() and time.monotonic() < deadline:
            time.sleep(_POLL)
        failed = self._failed()
        if failed is None:
            return ""
        rank, status = failed
        return (
            f"all processes were stopped because of process {rank} of "
            f"{self.num_processes}, which {_end_text(status)}"
        )

    def _start(self) -> None:
        environment = self.cluster_environment
        os.environ["MASTER_ADDR"] = environment.main_address
        os.environ["MASTER_PORT"] = str(environment.main_port)
        os.environ["NODE_RANK"] = "0"
        os.environ["LOCAL_RANK"] = "0"
        os.environ["WORLD_SIZE"] = str(self.num_processes)
        # The arguments are shown in process lists: the real content is sent.
        command = [sys.executable, "-m", "burnish", "fit", *sys.argv[1:]]
        for rank in range(1, self.num_processes):
            variables = {
                **os.environ,
                "LOCAL_RANK": str(rank),
                MARK: str(rank),
                FAILURE_MARK: self._first_failure.folder,
            }
            process = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE)
            self.procs.append(process)
            _send(process, self._run.line())

    def _kill_all(self) -> None:
        """End the others: they write no files, and would report a lost connection."""
        for process in self.procs:
            process.kill()

    def _failed(self) -> tuple[int, int] | None:
        """Return rank and status of the first other process that failed, if any did."""
        with self._lock:
            if self._first_failed is None:
                statuses = enumerate([p.poll() for p in self.procs], start=1)
                failed = [(rank, status) for rank, status in statuses if status]
                self._first_failed = next(iter(failed), None)
            return self._first_failed

    def _watch(self) -> None:
        """End all processes if one fails, this one too if it would wait forever."""
        while not self._is_ending and not self._failed():
            time.sleep(_POLL)
        if not self._is_ending:
            self._kill_all()
        for signum in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 2 * _PATIENCE
            while time.monotonic() < deadline:
                if self._is_ending:
                    return
                time.sleep(_POLL)
            os.kill(os.getpid(), signum)


@contextmanager
def all_processes(trainer: Trainer) -> Generator[None]:
    """Train in the block; afterwards only this process is left, in any case.

    Raises ChildProcessError instead of errors that another process's failure caused
    here.
    """
    launcher: Any = trainer.strategy.launcher
    before = {name: os.environ.get(name) for name in _VARIABLES}
    has_group = torch.distributed.is_initialized()
    try:
        yield
    except Exception as error:
        problem = launcher.failure() if isinstance(launcher, CommandLauncher) else ""
        if problem:
            raise ChildProcessError(problem) from error
        raise
    finally:
        if isinstance(launcher, CommandLauncher):
            launcher.end()
        if torch.distributed.is_initialized() and not has_group:
            torch.distributed.destroy_process_group()
        _restore(before)


def _end_text(status: int) -> str:
    if status < 0:
        return f"was killed by signal {-status}"
    return f"ended with status {status}; its error is shown above"


def _send(process: "subprocess.Popen[bytes]", line: bytes) -> None:
    """Send a line, and keep the pipe: the other process ends when it does."""
    if process.stdin is None:
        return
    # The code that waits for it notices one that has ended already.
    with suppress(BrokenPipeError):
        process.stdin.write(line)
        process.stdin.flush()


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
