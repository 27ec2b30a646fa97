"""What parent and child say to each other during a start, and the page that they share.

The channel is a pair of sequenced-packet sockets: one packet is one message, so nothing is ever
half read, and its end says that the last holder is gone or has become another program
(close-on-exec). The page carries what can be told when no system call is allowed any more.
"""

from __future__ import annotations

import _socket
import posix
import sys

from minilxc.linux.native import c_int
from minilxc.linux.process import shared_page, unmap_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

GO = b"G"  # parent: go on
ASK = b"A"  # child: do what the text names, of the parent's steps that come during the child's
BORN = b"B"  # of who enters a container: the process in it, as a descriptor
REQUEST = b"R"  # to who enters: descriptors, see minilxc.launch.enter
TREES = b"D"  # parent: detached mounts that it has made, as descriptors, and which they are
TERMINALS = b"T"  # child: the masters of the pseudo terminals, as descriptors
FAILED = b"E"  # child: a step failed
OUTPUT = b"O"  # child: what a hook prints from now on, as a descriptor; its title and command

_MOST = 1000  # characters of the name of what a failure is about
_LIMIT = 4096  # bytes of a message, below any socket's buffer: sending never blocks half-way
_ROOM = _socket.CMSG_SPACE(256 * 4)  # for descriptors
_SOL_SOCKET, _SCM_RIGHTS = _socket.SOL_SOCKET, _socket.SCM_RIGHTS


class Channel:
    """One end of the conversation."""

    __slots__ = ("_socket",)

    def __init__(self, end: _socket.socket) -> None:
        self._socket = end

    def fileno(self) -> int:
        """The descriptor of this end."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, kind: bytes, text: str = "", descriptors: Sequence[int] = ()) -> None:
        """Send one message. Raises OSError (BrokenPipeError: nobody is there any more)."""
        data = kind + text.encode(errors="surrogateescape")[: _LIMIT - 1]
        ancillary = []
        if descriptors:
            ancillary = [
                (_SOL_SOCKET, _SCM_RIGHTS, b"".join(fd.to_bytes(4, sys.byteorder) for fd in descriptors))
            ]
        self._socket.sendmsg([data], ancillary, _socket.MSG_NOSIGNAL)

    def receive(self) -> tuple[bytes, str, tuple[int, ...]]:
        """Wait for a message: (kind, text, descriptors). The kind is b"" when nobody is there any more."""
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_LIMIT, _ROOM, _socket.MSG_CMSG_CLOEXEC)
                break
            except ConnectionResetError:
                # The other side ended without reading all that we sent: told once, ahead of its own words.
                continue
        descriptors: tuple[int, ...] = ()
        for level, kind, raw in ancillary:
            if (level, kind) == (_SOL_SOCKET, _SCM_RIGHTS):
                descriptors += tuple(
                    int.from_bytes(raw[i : i + 4], sys.byteorder) for i in range(0, len(raw) - 3, 4)
                )
        return data[:1], data[1:].decode(errors="surrogateescape"), descriptors

    def end_without_parent(self) -> None:
        """Child: end if the parent is gone. Its death signal may have been due before it was asked for."""
        try:
            if self._socket.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        posix._exit(1)

    def ask(self, step: str) -> None:
        """Child: have the parent do one of its own steps, and wait until it is done."""
        self.send(ASK, step)
        self.wait_to_go_on()

    def ask_for_trees(self, step: str) -> tuple[str, tuple[int, ...]]:
        """Child: as `ask`, for a step that sends TREES: its text, and the descriptors in it."""
        self.send(ASK, step)
        kind, text, descriptors = self.receive()
        if kind != TREES:
            posix._exit(1)
        self.wait_to_go_on()
        return text, descriptors

    def wait_to_go_on(self) -> None:
        """Child: wait until the parent says GO; without a parent there is nothing to start for."""
        if self.receive()[0] != GO:
            posix._exit(1)


def fail(channel: Channel, step: str, error: BaseException) -> NoReturn:
    """Child: tell the parent which step failed and why, and end. A failure is a value: errno and texts."""
    if isinstance(error, OSError) and error.strerror:
        parts = (step, str(error.errno or 0), str(error.filename or "")[:_MOST], error.strerror)
    else:
        parts = (step, "0", type(error).__name__, str(error))
    text = "\0".join(parts)
    try:
        channel.send(FAILED, text)
    finally:
        posix._exit(1)


def inherited(descriptor: int) -> Channel:
    """The end that was handed over as a descriptor; it is closed by execve."""
    posix.set_inheritable(descriptor, False)
    return Channel(_socket.socket(fileno=descriptor))


def pair() -> tuple[Channel, Channel]:
    """The parent's and the child's end."""
    first, second = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return Channel(first), Channel(second)


class Page:
    """A page of memory that parent and child share: which step runs, and what became of execve."""

    __slots__ = ("_address", "_cells")

    def __init__(self, file: int = -1) -> None:
        """Make one; or share the one that is the first page of `file`, a descriptor."""
        self._address = shared_page(file)
        self._cells = (c_int * 3).from_address(self._address)

    @property
    def step(self) -> int:
        """The index of the step that the child began last; -1 for the last of all, the execve."""
        return self._cells[0]

    @step.setter
    def step(self, index: int) -> None:
        self._cells[0] = index

    @property
    def execve_errno(self) -> int:
        """Why execve failed; 0 when it did not."""
        return self._cells[1]

    @execve_errno.setter
    def execve_errno(self, number: int) -> None:
        self._cells[1] = number

    @property
    def confined(self) -> bool:
        """Whether the init of `execute` is confined."""
        return bool(self._cells[2])

    @confined.setter
    def confined(self, done: bool) -> None:
        self._cells[2] = done

    def unmap(self) -> None:
        """Take the page out of this process: nothing that gets hold of it shall write there. Use ends here."""
        unmap_page(self._address)
