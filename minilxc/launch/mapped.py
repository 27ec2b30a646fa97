"""Acting on files as root of a container: an ordinary user's way to those that the mapped ids own."""

from __future__ import annotations

import posix

from minilxc.launch import channel, idmap
from minilxc.linux import process
from minilxc.linux.names import NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minilxc.launch.idmap import IdMaps


def run(
    maps: IdMaps, subject: str, act: Callable[[], object], *, as_root: bool = False, namespaces: int = 0
) -> int:
    """Have `act` run in a child with the container's ids, and our own, where all is ours; the child's wait status.

    The child keeps our own ids; `as_root`: it takes those of the container's root, for what it makes to be
    root's there. `namespaces` (CLONE_NEW*) are new for it, too. An `act` that executes a program is waited for
    as that. Raises OSError, that of the child too.
    """
    ours, theirs = channel.pair()
    pid, pidfd = process.fork_into(NAMESPACES["user"] | namespaces)
    if pid == 0:
        try:
            ours.close()
            theirs.wait_to_go_on()
            if as_root:
                if not maps.keeps_groups:
                    posix.setgroups(())
                posix.setresgid(maps.gid, maps.gid, maps.gid)
                posix.setresuid(maps.uid, maps.uid, maps.uid)
            act()
            posix._exit(0)
        except BaseException as error:  # noqa: BLE001  no exception may run the caller's code in this copy of it
            channel.fail(theirs, subject, error)
    theirs.close()
    try:
        idmap.write(maps.with_own_ids(), pid)
        ours.send(channel.GO)
        kind, text, _ = ours.receive()
    finally:
        ours.close()
        _, status = posix.waitpid(pid, 0)
        posix.close(pidfd)
    if kind == channel.FAILED:
        _, number, thing, reason = text.split("\0", 3)
        raise OSError(int(number), reason, thing)
    return status
