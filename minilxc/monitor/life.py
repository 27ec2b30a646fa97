"""The life of a container: start, run, end, and again where it reboots. The process that lives it is its monitor."""

from __future__ import annotations

import _signal
import gc
import posix
import select

from minilxc.launch.parent import Claim, start
from minilxc.linux import process
from minilxc.log import INFO
from minilxc.monitor.console import Console, Peer, open_peer
from minilxc.monitor.desk import Desk
from minilxc.monitor.protocol import RUNNING, STARTING, STOPPING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minilxc.launch.parent import Started
    from minilxc.launch.plan import Plan
    from minilxc.log import Log

_ENDING = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP)


def run(
    plan: Plan,
    log: Log,
    *,
    owner: int | None = None,
    running: Callable[[int], bool] | None = None,
    pidfile: str | None = None,
) -> int:
    """Start the container and stay with it. Returns its exit status: that of process 1, or 128 + signal.

    `owner` is a descriptor that ends with who has asked for the start: until it runs, that ends it.
    `running` is told, once, the number of its process 1, and says whether anybody still wants it.
    `pidfile` has our own number as long as the name is ours.
    Raises StartError when it could not be started; nothing of it is left then.
    """
    peer = open_peer(plan)
    desk = Desk(plan, owner)
    claim = Claim(plan.lxcpath, plan.name, desk, pidfile)
    while True:
        started = start(plan, log, claim)
        status = _stay(plan, log, started, desk, peer, running)
        running = None
        if not started.reboots:
            return status
        if desk.end_wanted:
            claim.release()
            return status
        log.write(INFO, "reboot", "process 1 has asked for another start")
        desk.tell(STARTING)


def _stay(
    plan: Plan, log: Log, started: Started, desk: Desk, peer: Peer, running: Callable[[int], bool] | None
) -> int:
    """Stay with a container until it has ended and all is cleaned up; its exit status."""
    console = None
    # To an init SIGHUP means to read its configuration again. That the terminal has gone is no reason for
    # that, but one to end; as LXC has it. A program that `execute` runs knows best.
    hangup = _signal.SIGHUP if plan.with_init else _signal.SIGTERM
    signals = started.attention.signals
    # What a start has made is there to stay; what answers leave behind is not.
    gc.freeze()
    gc.enable()
    try:
        desk.started = started
        console = desk.console = Console(started.console, peer) if started.console is not None else None
        desk.tell(RUNNING)
        if running is not None:
            desk.disown()
            if not running(started.pid):
                process.pidfd_send_signal(started.pidfd, _signal.SIGKILL)
        # A short-lived payload may have ended during the start, and its SIGCHLD been read there.
        status = _on_signals(plan, started, console, hangup)
        while status is None:
            poll = select.poll()
            started.attention.register(poll)
            for descriptor, events in console.wanted().items() if console else ():
                poll.register(descriptor, events)
            for descriptor, events in poll.poll():
                if descriptor == signals:
                    status = _on_signals(plan, started, console, hangup)
                elif descriptor == desk.fileno():
                    desk.serve()
                elif console:
                    console.serve(descriptor, events)
        if console:
            console.drain()
        log.write(INFO, "stop", f"process 1 ended with status {status}")
        desk.tell_exit(status)
        return status
    finally:
        desk.end_terminals()
        desk.tell(STOPPING)
        if console:
            console.restore()
        started.finish()


def _on_signals(plan: Plan, started: Started, console: Console | None, hangup: int) -> int | None:
    """Handle what has arrived, `hangup` standing for SIGHUP. The container's status when it has ended."""
    for number in process.read_signals(started.attention.signals):
        if number == _signal.SIGWINCH and console:
            console.resize()
        elif number != _signal.SIGCHLD:
            if number in _ENDING:
                started.thaw()
            try:
                process.pidfd_send_signal(
                    started.pidfd, _meant(plan, hangup if number == _signal.SIGHUP else number)
                )
            except ProcessLookupError:
                pass  # its end is seen below
    pid, result = posix.waitpid(started.pid, posix.WNOHANG)
    if pid == 0:
        return None
    code = posix.waitstatus_to_exitcode(result)
    if code == -_signal.SIGINT and _has_own_power(plan):
        return 0  # halted, or powered off: a success
    # How process 1 ends when somebody calls reboot(2) in its pid namespace; `execute` runs its program once.
    started.reboots = code == -_signal.SIGHUP and _has_own_power(plan)
    return code if code >= 0 else 128 - code


def _meant(plan: Plan, number: int) -> int:
    """What to send for a signal that has come: who ends us wants no reboot, which SIGTERM is to some inits."""
    config = plan.config
    asks_for_reboot = config.where("lxc.signal.reboot") and config.get("lxc.signal.reboot") == _signal.SIGTERM
    return int(config.get("lxc.signal.halt")) if number == _signal.SIGTERM and asks_for_reboot else number


def _has_own_power(plan: Plan) -> bool:
    """Whether reboot(2) in the container ends process 1: by SIGHUP to start again, by SIGINT to halt.

    Nothing else does then: a signal of these that process 1 has not asked for is not delivered (pid_namespaces(7)).
    """
    return not plan.with_init and "pid" in plan.namespaces.new
