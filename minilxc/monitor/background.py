"""A start in the background: a process of its own becomes the container's monitor, and says how the start went."""

from __future__ import annotations

import gc
import posix

from minilxc.errors import MinilxcError, StartError
from minilxc.launch import channel
from minilxc.launch.program import close_descriptors
from minilxc.linux import process
from minilxc.log import ERROR
from minilxc.monitor import life

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from minilxc.launch.channel import Channel
    from minilxc.launch.plan import Plan
    from minilxc.log import Log

STARTED = b"S"  # monitor: the container runs; the number of its process 1
FAILED = b"E"  # monitor: it does not, and why

_MOST = 1000  # characters of a place, or a hint


def start(plan: Plan, log: Log, pidfile: str | None = None) -> int:
    """Start the container in the background; returns when its program is being executed, with its pid.

    The number of the monitor goes to `pidfile`. Raises StartError, with what the monitor says; nothing is
    left of the container then, as when the caller is killed before this returns.
    """
    if plan.filters is not None:
        from minilxc.seccomp import loader  # noqa: F401  once, here, and not in each process that is made
    ours, theirs = channel.pair()
    # In between stands a process that ends at once: the monitor is nobody's child, so nobody has to wait for it.
    between = posix.fork()
    if between == 0:
        try:
            if posix.fork():
                posix._exit(0)
            ours.close()
            _be_monitor(plan, log, theirs, pidfile)
        finally:
            posix._exit(1)
    theirs.close()
    try:
        process.wait_for_end(between)
        kind, text, _ = ours.receive()
    finally:
        ours.close()
    if kind == STARTED:
        return int(text)
    if kind == FAILED:
        step, number, status, where, hint, what = text.split("\0", 5)
        error = StartError(what, where or None, hint or None, step=step, errno=int(number))
        error.status = int(status)
        raise error
    raise StartError("the monitor ended before it could say why", plan.name, step="start")


def _be_monitor(plan: Plan, log: Log, owner: Channel, pidfile: str | None) -> NoReturn:
    # Looking for garbage would copy all memory that is shared with the caller.
    gc.disable()
    posix.setsid()
    # What an end has to complain of while the caller waits is for the caller; nothing else gets at that.
    log.screen = posix.dup(2)
    null = posix.open("/dev/null", posix.O_RDWR)
    for descriptor in range(3):
        posix.dup2(null, descriptor)
    close_descriptors((owner.fileno(), log.screen, *plan.descriptors(), *log.descriptors()))

    def running(pid: int) -> bool:
        try:
            owner.send(STARTED, str(pid))
        except BrokenPipeError:
            return False
        owner.close()
        posix.close(log.screen)
        log.screen = 2
        return True

    process.set_title(f"minilxc monitor {plan.name} {plan.lxcpath}")
    status = 1
    try:
        status = life.run(plan, log, owner=owner.fileno(), running=running, pidfile=pidfile)
    except MinilxcError as error:
        _tell(owner, log, error)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _tell(owner, log, StartError(what, plan.name, errno=error.errno or 0))
    except Exception as error:  # noqa: BLE001  a bug is told, too
        _tell(owner, log, StartError(f"a bug: {type(error).__name__}: {error}", plan.name))
    finally:
        posix._exit(status)


def _tell(owner: Channel, log: Log, error: MinilxcError) -> None:
    """Have the caller know what keeps the container from running; once it runs only the log can."""
    log.write(ERROR, "start", str(error))
    step, number = (error.step, error.errno) if isinstance(error, StartError) else ("", 0)
    # What is too long for a message is cut at its end.
    where, hint = (error.where or "")[-_MOST:], (error.hint or "")[:_MOST]
    parts = (step, str(number), str(error.status), where, hint, error.what)
    try:
        owner.send(FAILED, "\0".join(parts))
    except OSError:
        pass  # they have gone, or been told that it runs
