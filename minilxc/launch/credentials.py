"""What the payload may do: capabilities, groups, user, no_new_privs.

Loading a filter without NO_NEW_PRIVS takes CAP_SYS_ADMIN in the process's own user namespace at that
moment (seccomp(2)), and the filter is loaded last of all. So what is not to be kept leaves the
bounding set, user and groups change with the permitted set kept, and CAP_SYS_ADMIN alone stays
effective until execve, which computes the payload's sets from the bounding set anew
(capabilities(7), "Transformation of capabilities during execve").
"""

from __future__ import annotations

import posix

import _prctl  # python-prctl's extension itself: its Python half takes 1 ms to import, for names

from minilxc.linux.names import last_capability

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.config.parse import Config

CAP_NET_ADMIN = 12
CAP_SYS_ADMIN = 21


class Credentials:
    """Who the payload is. Immutable. `dropped` are the capabilities that leave the bounding set.

    `groups` None: they were settled when the id map was entered. `last_capability` is the kernel's.
    """

    __slots__ = ("dropped", "gid", "groups", "last_capability", "no_new_privs", "uid")

    def __init__(
        self,
        uid: int,
        gid: int,
        groups: tuple[int, ...] | None,
        dropped: tuple[int, ...],
        last_capability: int,
        no_new_privs: bool,
    ) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.dropped = dropped
        self.last_capability = last_capability
        self.no_new_privs = no_new_privs

    def describe(self) -> str:
        """Who the payload is, on one line."""
        kept = self.last_capability + 1 - len(self.dropped)
        return f"uid {self.uid}, gid {self.gid}, {kept} capabilities" + (
            ", no_new_privs" if self.no_new_privs else ""
        )


def from_config(config: Config) -> Credentials:
    """Who the payload is, by the config."""
    last = last_capability()
    if config.where("lxc.cap.keep"):
        keep = config.get("lxc.cap.keep")
        dropped = tuple(capability for capability in range(last + 1) if capability not in keep)
    else:
        dropped = tuple(capability for capability in config.get("lxc.cap.drop") if capability <= last)
    return Credentials(
        config.get("lxc.init.uid"),
        config.get("lxc.init.gid"),
        None if config.get("lxc.idmap") else config.get("lxc.init.groups"),
        dropped,
        last,
        config.get("lxc.no_new_privs"),
    )


def limit_capabilities(credentials: Credentials) -> None:
    """Take the dropped capabilities out of the bounding set. PR_CAPBSET_DROP(2const)."""
    for capability in credentials.dropped:
        _prctl.prctl(_prctl.PR_CAPBSET_DROP, capability)


def become(credentials: Credentials) -> None:
    """Change groups and user, and keep but CAP_SYS_ADMIN effective."""
    if credentials.groups is not None:
        posix.setgroups(credentials.groups)
    posix.setresgid(credentials.gid, credentials.gid, credentials.gid)
    if credentials.uid != 0:
        _prctl.prctl(_prctl.PR_SET_KEEPCAPS, 1)
    posix.setresuid(credentials.uid, credentials.uid, credentials.uid)
    everything = range(credentials.last_capability + 1)
    others = [capability for capability in everything if capability != CAP_SYS_ADMIN]
    # With no_new_privs execve gives root no capability beyond the permitted ones, so these must
    # stay permitted; for any other user execve leaves none.
    permitted = set(others).difference(credentials.dropped) if credentials.uid == 0 else set()
    _set_capabilities(
        effective_off=others,
        permitted_off=[capability for capability in others if capability not in permitted],
        effective_on=[CAP_SYS_ADMIN],
        last=credentials.last_capability,
    )
    if credentials.no_new_privs:
        _prctl.prctl(_prctl.PR_SET_NO_NEW_PRIVS, 1)


def settle(credentials: Credentials) -> None:
    """Become what execve would make of us, without execve: for a process that stays this program.

    NO_NEW_PRIVS takes the place of CAP_SYS_ADMIN as the right to load a filter.
    """
    everything = range(credentials.last_capability + 1)
    kept = set(everything).difference(credentials.dropped) if credentials.uid == 0 else set()
    lost = [capability for capability in everything if capability not in kept]
    _set_capabilities(
        effective_off=lost, permitted_off=lost, effective_on=sorted(kept), last=credentials.last_capability
    )
    _prctl.prctl(_prctl.PR_SET_NO_NEW_PRIVS, 1)


def _set_capabilities(
    effective_off: list[int], permitted_off: list[int], effective_on: list[int], last: int
) -> None:
    permitted = _prctl.get_caps([], list(effective_on), [])[_prctl.CAP_PERMITTED]
    held = [capability for capability in effective_on if permitted[capability]]
    _prctl.set_caps(held, [], [], effective_off, permitted_off, list(range(last + 1)))


def set_death_signal(signal: int) -> None:
    """Be sent `signal` when the parent dies (0: never). PR_SET_PDEATHSIG(2const)."""
    _prctl.prctl(_prctl.PR_SET_PDEATHSIG, signal)


def hide_from_tracers() -> None:
    """Let nobody without CAP_SYS_PTRACE look into this process. PR_SET_DUMPABLE(2const)."""
    _prctl.prctl(_prctl.PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, as process 1 is anyway. PR_SET_CHILD_SUBREAPER(2const)."""
    _prctl.prctl(_prctl.PR_SET_CHILD_SUBREAPER, 1)


def filter_mode() -> bool:
    """Whether a seccomp filter confines this process already. PR_GET_SECCOMP(2const)."""
    return bool(_prctl.prctl(_prctl.PR_GET_SECCOMP))
