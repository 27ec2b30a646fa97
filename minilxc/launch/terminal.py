"""Pseudo terminals of the container: an instance of devpts, the console and the ttys."""

from __future__ import annotations

import posix

from minilxc.launch.channel import TERMINALS
from minilxc.launch.mounts import open_in_root, open_target
from minilxc.linux import mount as kernel
from minilxc.linux.syscalls import EROFS
from minilxc.linux.terminal import (
    pty_number,
    set_controlling_terminal,
    set_window_size,
    unlock_pty,
    window_size,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config
    from minilxc.launch.channel import Channel
    from minilxc.launch.idmap import IdMaps

_PAGE = 4096
_OUT_OF_SIGHT = "/dev/pts"  # of the host's tree
_ATTRIBUTES = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NOEXEC


class Terminal:
    """Which pseudo terminals to make. Immutable.

    `instance`: the container sees an instance of devpts of its own with at most `maximum` of them;
    otherwise there is one for the console alone, which nobody sees. `stdio` are the standard
    descriptors (0 to 2) that become the console, `callers` those of them that are the caller's terminal, and
    `size` what `window_size` says of that. `group`: devpts' gid=5, when that is mapped.
    """

    __slots__ = (
        "callers",
        "console",
        "directory",
        "group",
        "instance",
        "maximum",
        "owner",
        "size",
        "stdio",
        "ttys",
    )

    def __init__(
        self,
        *,
        console: bool,
        stdio: tuple[int, ...],
        callers: tuple[int, ...],
        ttys: int,
        directory: str,
        instance: bool,
        maximum: int,
        group: bool,
        owner: int,
        size: int,
    ) -> None:
        self.console = console
        self.stdio = stdio
        self.callers = callers
        self.ttys = ttys
        self.directory = directory
        self.instance = instance
        self.maximum = maximum
        self.group = group
        self.owner = owner
        self.size = size

    def describe(self) -> str:
        """What is made, on one line."""
        parts = [f"devpts (max={self.maximum})" if self.instance else "no devpts of its own"]
        parts += ["console"] if self.console else []
        parts += [f"{self.ttys} ttys"] if self.ttys else []
        return ", ".join(parts)


class Console:
    """What stands behind the console on the host. Immutable.

    `path` is the peer (None: the caller's terminal), `log` a file that gets what is written to the
    console, at most `limit` bytes of it (0: all), and `rotate` whether a full one is kept as FILE.1.
    `remembers` is how many bytes of what was written last are kept for who asks. `where` is the line that
    names `path`.
    """

    __slots__ = ("limit", "log", "path", "remembers", "rotate", "where")

    def __init__(
        self,
        *,
        path: str | None,
        where: str | None,
        log: str | None,
        limit: int,
        rotate: bool,
        remembers: int = 0,
    ) -> None:
        self.remembers = remembers
        self.path = path
        self.where = where
        self.log = log
        self.limit = limit
        self.rotate = rotate


def console_from_config(config: Config) -> Console:
    """The host's side of the console. As in LXC, sizes are at least a page, and powers of two."""
    return Console(
        path=config.get("lxc.console.path"),
        where=config.where("lxc.console.path"),
        log=config.get("lxc.console.logfile"),
        limit=_rounded(config.get("lxc.console.size")),
        rotate=config.get("lxc.console.rotate"),
        remembers=_rounded(config.get("lxc.console.buffer.size")),
    )


def _rounded(size: int) -> int:
    return 1 << (max(size, _PAGE) - 1).bit_length() if size else 0


def from_config(
    config: Config, with_init: bool, idmap: IdMaps | None, *, background: bool = False
) -> Terminal | None:
    """The pseudo terminals, if any. Under `execute` (`with_init`) nobody uses ttys, and none are made, as in LXC.

    In the `background` the console is all that the payload has for its standard descriptors.
    """
    console = config.get("lxc.console.path") != "none"
    wanted, ptys = config.get("lxc.tty.max"), config.get("lxc.pty.max")
    ttys = 0 if with_init else wanted
    if config.get("lxc.rootfs.path") is None or not (console or ttys or ptys):
        return None
    callers: tuple[int, ...] = ()
    if console and not background:
        callers = tuple(descriptor for descriptor in range(3) if posix.isatty(descriptor))
    group = idmap is None or any(
        entry.kind == "g" and entry.inside <= 5 < entry.inside + entry.count
        for entry in config.get("lxc.idmap")
    )
    directory = config.get("lxc.tty.dir")
    return Terminal(
        console=console,
        stdio=(0, 1, 2) if console and background else callers,
        callers=callers,
        ttys=ttys,
        directory=f"{directory.strip('/')}/" if directory else "",
        instance=ptys > 0,
        maximum=wanted + ptys,
        group=group,
        owner=config.get("lxc.init.uid"),
        size=window_size(callers[0]) if callers else 0,
    )


def make(terminal: Terminal, root: int, channel: Channel) -> int | None:
    """Make the pseudo terminals below `root` and hand them to the parent: console, its slave, ttys.

    Returns the console's slave when standard descriptors are to become it. Raises OSError.
    """
    try:
        dev = open_in_root(root, "dev", posix.O_PATH | posix.O_DIRECTORY, follow=False)
    except FileNotFoundError:
        # Nothing can be shown in a root file system without /dev; but the payload gets a terminal that is
        # not the caller's, or it could type into the caller's shell (TIOCSTI).
        dev = -1
    options = ["source=devpts", "ptmxmode=0666", "mode=0620"]
    options += ["gid=5"] if terminal.group else []
    options += [f"max={terminal.maximum}"] if terminal.instance else []
    devpts = kernel.mount_filesystem("devpts", tuple(options), _ATTRIBUTES)
    if terminal.instance and dev >= 0:
        place = open_target(dev, "pts", "dir", follow=False)
    else:
        # A mount that is in no tree cannot be bound elsewhere; this tree goes away with pivot_root.
        place = posix.open(_OUT_OF_SIGHT, posix.O_PATH | posix.O_CLOEXEC)
    kernel.move_mount(devpts, place, "dev/pts")
    ends: list[int] = []
    slave: int | None = None
    names = ["console"] if terminal.console else []
    names += [f"{terminal.directory}tty{n}" for n in range(1, terminal.ttys + 1)]
    for name in names:
        master = posix.open("ptmx", posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC, dir_fd=devpts)
        unlock_pty(master)
        number = str(pty_number(master))
        if terminal.owner:
            posix.chown(number, terminal.owner, -1, dir_fd=devpts)
        _bind(devpts, number, dev, name)
        if name != "console" and terminal.directory:
            _link(dev, name)
        ends.append(master)
        if name == "console":
            if terminal.size:
                set_window_size(
                    master, terminal.size
                )  # before anybody can ask for it, or be told of a change
            if terminal.directory:
                _bind(devpts, number, dev, f"{terminal.directory}console")
            slave = posix.open(number, posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC, dir_fd=devpts)
            # The parent keeps it open, or the master would report an end whenever nobody writes.
            ends.append(slave)
    if terminal.instance:
        _bind(devpts, "ptmx", dev, "ptmx")
    if ends:
        channel.send(TERMINALS, "console" if terminal.console else "", ends)
    if not terminal.stdio:
        slave = None
    for descriptor in {*ends, devpts, dev, place} - {-1}:
        if descriptor != slave:
            posix.close(descriptor)
    return slave


def _bind(devpts: int, source: str, dev: int, target: str) -> None:
    """Bind a terminal over `target` below /dev. An image's own /dev that is read-only gets what it has places for."""
    if dev < 0:
        return
    try:
        place = open_target(dev, target, "file", follow=False)
    except OSError as error:
        if error.errno == EROFS:
            return
        raise
    copy = kernel.open_tree_clone(devpts, source, recursive=False)
    kernel.move_mount(copy, place, f"dev/{target}")
    posix.close(copy)
    posix.close(place)


def _link(dev: int, target: str) -> None:
    """Let the usual place of a terminal, /dev/ttyN, lead to the one below lxc.tty.dir, as in LXC."""
    name = target.rpartition("/")[2]
    if dev < 0:
        return
    try:
        try:
            posix.unlink(name, dir_fd=dev)  # an image's own node would be the host's virtual terminal
        except FileNotFoundError:
            pass
        posix.symlink(target, name, dir_fd=dev)
    except OSError as error:
        if error.errno != EROFS:
            raise


def take_stdio(terminal: Terminal, slave: int) -> None:
    """Make the console the controlling terminal and those standard descriptors that were a terminal."""
    set_controlling_terminal(slave)
    for descriptor in terminal.stdio:
        posix.dup2(slave, descriptor)
