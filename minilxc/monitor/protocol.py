"""What monitors and those who ask them say to each other.

One message is one packet of a sequenced-packet socket: texts with NULs between them, the first of which is
the version. So nothing is ever half read, and nothing is longer than LIMIT. Descriptors come along
(SCM_RIGHTS, unix(7)); what is longer than a message is in a sealed file in memory.

A request is a verb and its arguments; the answer is `ok` with facts, or `error` with one line. After `watch`
comes the state, with those before it since the start, and then each change, and with what status process 1 has
ended. The end of the conversation is the end of the container.
"""

from __future__ import annotations

import _socket
import _struct
import posix
import sys

from minilxc.linux.files import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VERSION = "1"
LIMIT = 4096
"""Bytes of a message."""
OK, ERROR, STATE, EXIT = "ok", "error", "state", "exit"

STOPPED, STARTING, RUNNING, STOPPING, ABORTING = "STOPPED", "STARTING", "RUNNING", "STOPPING", "ABORTING"
FREEZING, FROZEN, THAWED = "FREEZING", "FROZEN", "THAWED"
STATES = (STOPPED, STARTING, RUNNING, STOPPING, ABORTING, FREEZING, FROZEN, THAWED)
"""All states, as LXC has them. THAWED is told on the way from FROZEN to RUNNING, and never stays."""

_MOST_DESCRIPTORS = 8
_ROOM = _socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4)
_CREDENTIALS = "3i"  # struct ucred: pid, uid, gid


class Garbled(Exception):
    """What has come is no message."""


def new_socket() -> _socket.socket:
    """A socket for such a conversation."""
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)


def dial(path: str, patience: float) -> _socket.socket:
    """A conversation with who listens at `path`. Whatever is sent there waits for `patience` seconds at most.

    Raises OSError; BlockingIOError where so many wait to be heard that it takes longer than that.
    """
    end = new_socket()
    try:
        # The socket's own timeout: one of Python's makes it non-blocking, and connect(2) does not wait then at all.
        limit = _struct.pack("@ll", int(patience), int(patience % 1 * 1e6))
        end.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, limit)
        end.connect(path)
    except OSError:
        end.close()
        raise
    return end


def peer_is_trusted(end: _socket.socket) -> bool:
    """Whether the process at the other end is root's or our own user's."""
    raw = end.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _struct.calcsize(_CREDENTIALS))
    return _struct.unpack(_CREDENTIALS, raw)[1] in (0, posix.geteuid())


def send(end: _socket.socket, words: Iterable[str], descriptors: Sequence[int] = ()) -> None:
    """Send a message. Raises OSError: BlockingIOError where the other end does not read, ValueError when too long."""
    data = encode("\0".join((VERSION, *words)))
    if len(data) > LIMIT:
        raise ValueError("too long for a message")
    ancillary = []
    if descriptors:
        raw = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in descriptors)
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, raw)]
    end.sendmsg([data], ancillary, _socket.MSG_NOSIGNAL)


def receive(end: _socket.socket) -> tuple[list[str], list[int]]:
    """The next message, and the descriptors that came along; nothing when the conversation has ended.

    Raises Garbled, and OSError (BlockingIOError, TimeoutError).
    """
    try:
        data, ancillary, flags, _ = end.recvmsg(LIMIT, _ROOM, _socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return [], []
    descriptors = []
    for level, kind, raw in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            descriptors += [
                int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw) - 3, 4)
            ]
    if not data:
        return [], descriptors
    version, *words = decode(data).split("\0")
    if flags & (_socket.MSG_TRUNC | _socket.MSG_CTRUNC) or version != VERSION or not words:
        close(descriptors)
        raise Garbled(f"a message of another version ({version[:20]})" if words else "no message")
    return words, descriptors


def close(descriptors: Iterable[int]) -> None:
    """Close descriptors that came along and are not wanted."""
    for descriptor in descriptors:
        posix.close(descriptor)
