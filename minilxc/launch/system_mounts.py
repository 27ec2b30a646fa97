"""The mounts of every container: /dev, and what lxc.mount.auto asks for."""

from __future__ import annotations

from minilxc.errors import ConfigError
from minilxc.launch import devices
from minilxc.launch.credentials import CAP_NET_ADMIN
from minilxc.launch.mounts import Mount
from minilxc.linux import mount as kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config
    from minilxc.launch.credentials import Credentials
    from minilxc.launch.namespaces import Namespaces


def from_config(
    config: Config, namespaces: Namespaces, credentials: Credentials, autodev: bool
) -> tuple[Mount, ...]:
    """The mounts of lxc.autodev and lxc.mount.auto, without those of control groups (see `cgroups`).

    Raises ConfigError.
    """
    found: list[Mount] = []
    if autodev:
        found.append(devices.tmpfs(config.get("lxc.autodev.tmpfs.size")))
    for word, mode, _ in config.get("lxc.mount.auto"):
        if word == "proc":
            found.append(_proc(mode, CAP_NET_ADMIN not in credentials.dropped))
        elif word == "sys":
            if "user" in namespaces.new and "net" not in namespaces.new:
                # The kernel: sysfs shows the network's devices, so who mounts it must have power over that.
                what = "lxc.mount.auto: 'sys' with lxc.idmap takes a network namespace of the container's own"
                raise ConfigError(what, config.where("lxc.mount.auto"), "lxc.net.0.type = empty")
            found.append(_sys(mode))
    return tuple(found)


_QUIET = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOEXEC


def _again(path: str, *, read_only: bool, skip_missing: bool = False) -> Mount:
    """A place below another mount, mounted on itself to give it flags of its own."""
    attr_set, attr_clr = (kernel.MOUNT_ATTR_RDONLY, 0) if read_only else (0, kernel.MOUNT_ATTR_RDONLY)
    return Mount(
        path,
        path,
        None,
        attr_set=attr_set,
        attr_clr=attr_clr,
        relative=True,
        skip_missing=skip_missing,
        follow=False,
    )


def _proc(mode: str, keeps_net_admin: bool) -> Mount:
    inside: tuple[Mount, ...] = ()
    if mode == "mixed":
        network = (_again("sys/net", read_only=False, skip_missing=True),) if keeps_net_admin else ()
        trigger = _again("sysrq-trigger", read_only=True, skip_missing=True)
        inside = (_again("sys", read_only=True), *network, trigger)
    return Mount(
        "proc",
        "proc",
        "proc",
        options=("source=proc",),
        attr_set=_QUIET,
        create="dir",
        follow=False,
        inside=inside,
    )


def _sys(mode: str) -> Mount:
    attr_set = {"rw": 0, "ro": kernel.MOUNT_ATTR_RDONLY, "mixed": kernel.MOUNT_ATTR_RDONLY | _QUIET}[mode]
    network = _again("devices/virtual/net", read_only=False, skip_missing=True)
    return Mount(
        "sysfs",
        "sys",
        "sysfs",
        options=("source=sysfs",),
        attr_set=attr_set,
        create="dir",
        follow=False,
        inside=(network,) if mode == "mixed" else (),
    )
