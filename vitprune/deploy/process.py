"""A model in a process of its own, which has loaded its runtime and nothing else.

So what it takes of memory is its own, and no runtime's threads are in another's way. Run as
``python -m vitprune.deploy.process``, this module is that process; :class:`ModelProcess` is it
from outside.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vitprune
from vitprune.deploy.runtimes import Model, batched, open_model
from vitprune.deploy.timing import clocked
from vitprune.errors import InputError, in_one_line

EAGER = "eager"
"""The runtime of a file that ``torch.save`` has written of a whole model."""


@dataclass(frozen=True)
class Opening:
    """Which model a process opens.

    Attributes:
        path: of its file.
        runtime: a name of :data:`vitprune.deploy.formats.FORMATS`, or :data:`EAGER`.
        precision: in which it computes what is not in int8.
        shape: of its input, in which None stands for any number of clips.
        threads: how many compute.
    """

    path: Path
    runtime: str
    precision: str
    shape: tuple[int | None, ...]
    threads: int

    def model(self) -> Model:
        """The model, for any number of clips.

        Raises:
            InputError: its runtime cannot run it.
        """
        if self.runtime == EAGER:
            return _eager(self.path, self.threads)
        opened = open_model(self.path, self.runtime, precision=self.precision, threads=self.threads)
        return batched(opened, self.shape)


class ModelProcess:
    """A model that is open in a process of its own; a context manager that ends it.

    Args:
        name: what it is called in errors.
        opening: of the model; it goes on while others are begun.
    """

    def __init__(self, name: str, opening: Opening) -> None:
        self.name = name
        self._wire, theirs = Pipe()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed at the end of the context)
        root = str(Path(vitprune.__file__).parents[1])  # this very vitprune, wherever that is
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
        )
        theirs.close()
        self._send("open", opening)

    def ready(self) -> None:
        """Wait until the model is open.

        Raises:
            InputError: as from every other method here: it cannot be opened or run, or its
                process ended.
        """
        self._received()

    def __call__(self, clips: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, C] of clips [N, 3, T, H, W], for any N."""
        return self._ask("answer", clips)

    def latency(self, clips: NDArray[np.float32] | None = None) -> float:
        """Milliseconds that clips take, by the process's own clock; None for the same again."""
        return self._ask("latency", clips)

    def peak(self) -> int:
        """Bytes of memory that the process had at most so far."""
        return self._ask("peak")

    def _ask(self, *words: Any) -> Any:
        self._send(*words)
        return self._received()

    def _send(self, *words: Any) -> None:
        try:
            self._wire.send(words)
        except OSError as error:
            raise self._ended() from error

    def _received(self) -> Any:
        try:
            answer, refusal = self._wire.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if refusal is not None:
            raise InputError(f"{self.name}: {refusal}")
        return answer

    def _ended(self) -> InputError:
        """What is known of a process that is no more."""
        status = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
        if status == -signal.SIGKILL:
            how += ", as where memory is short"
        said = f": {lines[-1][:200]}" if lines else ""
        return InputError(f"{self.name}: the process that ran it ended ({how}){said}")

    def __enter__(self) -> ModelProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wire.close()
        self._process.kill()  # there is nothing that it could lose
        self._process.wait()
        self._said.close()


def peak_bytes() -> int:
    """Resident memory that this process had at most, in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    # Not what getrusage says: that counts the process by which this one was started, too.
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    assert found is not None, "Linux has said it since 2.6"
    return 1024 * int(found[1])


class _Served:
    """What a process does when it is asked."""

    _model: Model
    _clips: NDArray[np.float32]

    def open(self, opening: Opening) -> None:
        self._model = opening.model()

    def answer(self, clips: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._model(clips)

    def latency(self, clips: NDArray[np.float32] | None) -> float:
        if clips is not None:
            self._clips = clips
        return clocked(lambda: self._model(self._clips))()

    def peak(self) -> int:
        return peak_bytes()


def _eager(path: Path, threads: int) -> Model:
    import torch

    torch.set_num_threads(threads)
    module = torch.load(path, weights_only=False)  # which the process that asks has just written

    def run(clips: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return module(torch.from_numpy(clips)).numpy()

    return run


def main() -> None:
    """The process: does what it is asked to until nobody asks any more."""
    wire, served = Connection(int(sys.argv[1])), _Served()
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            what, *arguments = wire.recv()
            reply: tuple[Any, str | None]
            try:
                reply = getattr(served, what)(*arguments), None
            except Exception as error:  # whatever a runtime raises: it is said where it was asked
                reply = None, in_one_line(error)
            wire.send(reply)


if __name__ == "__main__":
    main()
