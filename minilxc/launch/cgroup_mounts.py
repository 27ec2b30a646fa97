"""What lxc.mount.auto makes of /sys/fs/cgroup. Loaded when a config has such a word."""

from __future__ import annotations

from minilxc.errors import ConfigError
from minilxc.launch.mounts import Mount
from minilxc.linux import mount as kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config
    from minilxc.launch.cgroups import Cgroups, Place

_QUIET = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOEXEC


def from_config(
    config: Config, places: tuple[Place, ...], namespaced: bool, keeps_admin: bool
) -> tuple[str, str] | None:
    """What a cgroup word of lxc.mount.auto makes of /sys/fs/cgroup: (word, mode), or None for nothing.

    As LXC: a container with a cgroup namespace of its own mounts its groups itself, where it is able
    to and its init can be expected to (not with version 2 alone), unless the config forces it.
    """
    word, mode, force = next(each for each in config.get("lxc.mount.auto") if each[0].startswith("cgroup"))
    alone = bool(places) and all(place.hierarchy.version == 2 for place in places)
    if namespaced and not force and keeps_admin and not alone:
        return None
    where = config.where("lxc.mount.auto")
    if not any(place.hierarchy.version == 2 or word != "cgroup2" for place in places):
        if namespaced and not force:
            return None
        raise ConfigError(f"lxc.mount.auto: '{word}': there is no such hierarchy to mount here", where)
    if not namespaced and (alone or word == "cgroup2"):
        what = f"lxc.mount.auto: '{word}': version 2 is only mounted in a cgroup namespace of its own"
        raise ConfigError(what, where)
    return ("cgroup2" if alone else word), mode or ("rw" if keeps_admin else "mixed")


def mounts(plan: Cgroups, paths: list[str]) -> tuple[Mount, ...]:
    """What lxc.mount.auto asks for on /sys/fs/cgroup, with the groups at `paths`."""
    assert plan.auto is not None
    word, mode = plan.auto
    read_only = kernel.MOUNT_ATTR_RDONLY
    if word == "cgroup2":
        flags = _QUIET | read_only if mode == "ro" else _QUIET
        return (_mount("sys/fs/cgroup", "cgroup2", flags, ()),)
    inside: list[Mount] = []
    for place, path in zip(plan.places, paths, strict=True):
        top = place.hierarchy.top
        name = top.rpartition("/")[2]
        own = path[len(top) + 1 :]
        if plan.namespaced:
            flags = _QUIET | read_only if mode == "ro" else _QUIET
            kind = "cgroup" if place.hierarchy.version == 1 else "cgroup2"
            inside.append(_mount(name, kind, flags, place.hierarchy.controllers))
        elif word == "cgroup-full":
            group = Mount(path, own, None, attr_clr=read_only, attr_set=_QUIET)
            flags = _QUIET if mode == "rw" else _QUIET | read_only
            below = (group,) if mode == "mixed" else ()
            inside.append(Mount(top, name, None, attr_set=flags, create="dir", inside=below))
        else:
            flags = _QUIET | read_only if mode == "ro" else _QUIET
            inside.append(Mount(path, f"{name}/{own}", None, attr_set=flags, create="dir"))
    if mode == "ro" or (mode == "mixed" and not plan.namespaced):
        inside.append(Mount("", "", None, remount=True, attr_set=read_only))
    return (_mount("sys/fs/cgroup", "tmpfs", _QUIET, ("size=10240k", "mode=755"), tuple(inside)),)


def _mount(
    target: str, kind: str, flags: int, options: tuple[str, ...], inside: tuple[Mount, ...] = ()
) -> Mount:
    """A file system below /sys/fs/cgroup; without a place for it there is none, as with LXC."""
    outermost = target.startswith("sys/")
    return Mount(
        kind,
        target,
        kind,
        options=(f"source={kind}", *options),
        attr_set=flags,
        create="" if outermost else "dir",
        skip_missing=outermost,
        follow=False,
        inside=inside,
    )
