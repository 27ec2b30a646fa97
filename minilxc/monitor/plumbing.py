"""The standard descriptors of a program that is run for a Python program, as subprocess.run has them."""

from __future__ import annotations

import io
import os
import select
import subprocess
import time
from typing import IO, TYPE_CHECKING, Any

from minilxc.linux import process

if TYPE_CHECKING:
    from collections.abc import Callable

    Target = int | IO[Any] | None

_CHUNK = 32768
_MOST_LEFT = 2**20  # bytes that a pipe holds, pipe(7)


class Plumbing:
    """Pipes and files for one program: `theirs` are its three descriptors, `read` what it has written.

    `text_in` goes to its standard input; `capture` takes its output and errors, as PIPE for each does.
    """

    def __init__(
        self,
        stdin: Target,
        stdout: Target,
        stderr: Target,
        *,
        text_in: bytes | str | None,
        capture: bool,
        text: bool,
    ) -> None:
        self._opened: list[int] = []
        self._decode: Callable[[bytes], Any] = _as_text if text else bytes
        self._input = text_in.encode(errors="surrogateescape") if isinstance(text_in, str) else text_in or b""
        self._ours: dict[int, bytearray | None] = {}  # pipes to read; None for the one to write
        self._captured: list[bytearray | None] = [None, None]
        try:
            if text_in is not None:
                stdin = subprocess.PIPE
            if capture:
                stdout = stderr = subprocess.PIPE
            first = self._source(stdin)
            second = self._target(stdout, 1, first)
            self.theirs = (first, second, self._target(stderr, 2, second))
        except BaseException:
            self.close()
            raise

    @property
    def read(self) -> tuple[Any, Any]:
        """Output and errors, None where they were not asked for."""
        out, err = (None if data is None else self._decode(bytes(data)) for data in self._captured)
        return out, err

    def carry(self, pidfd: int, timeout: float | None) -> None:
        """Write and read until the program has ended. Raises TimeoutError when it has not after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for descriptor in self.theirs:
            self._close(descriptor)
        ended = False
        while not ended:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            for descriptor, data in self._ours.items():
                poll.register(descriptor, select.POLLOUT if data is None else select.POLLIN)
            ready = poll.poll(process.poll_ms(None if deadline is None else deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for descriptor, _ in ready:
                if descriptor == pidfd:
                    ended = True
                else:
                    self._serve(descriptor)
        for descriptor, data in list(self._ours.items()):
            # What is left in the pipe, and no more. Others that hold it open are not waited for: the program has ended.
            os.set_blocking(descriptor, False)
            most = len(data) + _MOST_LEFT if data is not None else 0
            while data is not None and descriptor in self._ours and len(data) < most:
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                if not poll.poll(0):
                    break
                self._serve(descriptor)

    def close(self) -> None:
        """Close all that was opened for this."""
        for descriptor in list(self._opened):
            self._close(descriptor)

    def _serve(self, descriptor: int) -> None:
        data = self._ours[descriptor]
        if data is None:
            try:
                self._input = self._input[os.write(descriptor, self._input[:_CHUNK]) :]
            except BrokenPipeError:
                self._input = b""
            if self._input:
                return
        else:
            chunk = os.read(descriptor, _CHUNK)
            data += chunk
            if chunk:
                return
        del self._ours[descriptor]
        self._close(descriptor)

    def _source(self, stdin: Target) -> int:
        if stdin == subprocess.PIPE:
            reading, writing = self._pipe()
            os.set_blocking(writing, False)
            self._ours[writing] = None
            return reading
        return self._given(stdin, 0)

    def _target(self, target: Target, number: int, before: int) -> int:
        if target == subprocess.PIPE:
            reading, writing = self._pipe()
            data = self._captured[number - 1] = bytearray()
            self._ours[reading] = data
            return writing
        if target == subprocess.STDOUT and number == 2:
            return before
        return self._given(target, number)

    def _given(self, target: Target, number: int) -> int:
        if target is None:
            return number
        if target == subprocess.DEVNULL:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            self._opened.append(null)
            return null
        return target if isinstance(target, int) else target.fileno()

    def _pipe(self) -> tuple[int, int]:
        both = os.pipe()
        self._opened += both
        return both

    def _close(self, descriptor: int) -> None:
        if descriptor in self._opened:
            self._opened.remove(descriptor)
            os.close(descriptor)


def _as_text(data: bytes) -> str:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="surrogateescape").read()
