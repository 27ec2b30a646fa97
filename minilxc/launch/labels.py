"""Labels of security modules: AppArmor's profile, SELinux's contexts. Loaded only when a config has one.

They are written to files of the host's /proc, which is opened before the root changes: a container's
own /proc may be anything (CVE-2019-16884). The kernel takes them at the next execve.
AppArmor's files have had a folder of their own since Linux 5.8.
"""

from __future__ import annotations

import posix

from minilxc.errors import ConfigError, Refused
from minilxc.linux.files import encode, exists, read_text
from minilxc.log import WARN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minilxc.config.parse import Config

_NO_PROFILE = ("unconfined", "unchanged")
# What the distributions' own configs name, on every machine, for kernels that have AppArmor.
_USUAL = frozenset(
    ("generated", "lxc-container-default")
    + tuple(f"lxc-container-default-{what}" for what in ("cgns", "with-mounting", "with-nesting"))
)
_NO_CONTEXT = "unconfined_t"
_WITHOUT = "lxc.apparmor.allow_incomplete = 1 starts without it"


class Modules:
    """What the kernel has. Immutable.

    `apparmor`, and whether it judges mounts too (`mediation`) and confines the caller (`confined`); `selinux`.
    """

    __slots__ = ("apparmor", "confined", "mediation", "selinux")

    def __init__(self, *, apparmor: bool, confined: bool, mediation: bool, selinux: bool) -> None:
        self.apparmor = apparmor
        self.confined = confined
        self.mediation = mediation
        self.selinux = selinux

    @classmethod
    def of_this_kernel(cls) -> Modules:
        """Ask the running kernel. Documentation/admin-guide/LSM in the kernel's sources."""
        apparmor = _content("/sys/module/apparmor/parameters/enabled").startswith("Y")
        current = _content("/proc/self/attr/apparmor/current") or _content("/proc/self/attr/current")
        return cls(
            apparmor=apparmor,
            confined=apparmor and current.strip() != "unconfined",
            mediation=exists("/sys/kernel/security/apparmor/features/mount/mask"),
            selinux=exists("/sys/fs/selinux/enforce"),
        )


def _content(path: str) -> str:
    try:
        return read_text(path)
    except OSError:
        return ""


class Labels:
    """What process 1 is labelled with; None for nothing. Immutable. `keyring` is for its session keyring."""

    __slots__ = ("apparmor", "keyring", "selinux")

    def __init__(self, *, apparmor: str | None, selinux: str | None, keyring: str | None) -> None:
        self.apparmor = apparmor
        self.selinux = selinux
        self.keyring = keyring

    def describe(self) -> str:
        """The labels, on one line."""
        found = (("AppArmor", self.apparmor), ("SELinux", self.selinux), ("keyring", self.keyring))
        return ", ".join(f"{what} {label}" for what, label in found if label is not None)

    def open_proc(self) -> int:
        """Child, while /proc still is the host's: a descriptor of it, for the functions below. Raises OSError."""
        return posix.open("/proc", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)

    def for_keyring(self, proc: int) -> None:
        """Child: label the keyring that is made next. Raises OSError about the label."""
        if self.keyring is not None:
            _write(proc, ("keycreate",), self.keyring, self.keyring)

    def for_program(self, proc: int) -> None:
        """Child: become what the labels say with the next execve. Raises OSError about a label."""
        if self.apparmor is not None:
            _write(proc, ("apparmor/exec", "exec"), f"exec {self.apparmor}", self.apparmor)
        if self.selinux is not None:
            _write(proc, ("exec",), self.selinux, self.selinux)

    def for_itself(self, proc: int) -> None:
        """Child: become that at once, for a process that executes nothing. Raises OSError about a label."""
        if self.apparmor is not None:
            _write(proc, ("apparmor/current", "current"), f"changeprofile {self.apparmor}", self.apparmor)
        if self.selinux is not None:
            _write(proc, ("current",), self.selinux, self.selinux)


def _write(proc: int, files: tuple[str, ...], text: str, label: str) -> None:
    """Write `text` to the first of the `files` of this process that there is; an error is about `label`."""
    try:
        for file in files:
            try:
                descriptor = posix.open(f"self/attr/{file}", posix.O_WRONLY | posix.O_CLOEXEC, dir_fd=proc)
                break
            except FileNotFoundError:
                if file == files[-1]:
                    raise
        try:
            posix.write(descriptor, encode(text))
        finally:
            posix.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, label) from None


def from_config(config: Config, debug: Callable[[int, str, str], None]) -> Labels | None:
    """The labels that the config asks for. Raises ConfigError or Refused; `debug` is the log."""
    return decide(config, Modules.of_this_kernel(), debug)


def decide(config: Config, modules: Modules, debug: Callable[[int, str, str], None]) -> Labels | None:
    """The same for the kernel that `modules` describes; None for no label at all."""
    labels = Labels(
        apparmor=_profile(config, modules, debug),
        selinux=_context(config, "lxc.selinux.context", modules),
        keyring=_context(config, "lxc.selinux.context.keyring", modules),
    )
    return labels if labels.describe() else None


def _profile(config: Config, modules: Modules, debug: Callable[[int, str, str], None]) -> str | None:
    key = "lxc.apparmor.profile"
    profile: str | None = config.get(key)
    if profile is None or profile in _NO_PROFILE:
        # A caller who is confined may not have the right to it; the kernel decides.
        return profile if profile == "unconfined" and modules.confined else None
    where = config.where(key) or ""
    lacking = (
        "this kernel has no AppArmor, so the container would be confined less than asked"
        if not modules.apparmor
        else "this kernel's AppArmor does not judge mounts, so the profile would confine less than it says"
        if not modules.mediation
        else None
    )
    if lacking is not None:
        usual = not modules.apparmor and profile in _USUAL
        if not (usual or config.get("lxc.apparmor.allow_incomplete")):
            raise Refused(f"{key}: {lacking}", where, _WITHOUT)
        debug(WARN, "labels", f"{where}: {key}: {lacking}")
    if not modules.apparmor:
        return None
    if profile == "generated":
        hint = "the name of a profile that is loaded, or unconfined"
        raise ConfigError(f"{key}: minilxc generates no profile", where, hint)
    return profile


def _context(config: Config, key: str, modules: Modules) -> str | None:
    context: str | None = config.get(key)
    if context is None or context == _NO_CONTEXT:
        return None
    if not modules.selinux:
        what = "this kernel has no SELinux, so the container would be confined less than asked"
        raise Refused(f"{key}: {what}", config.where(key))
    return context
