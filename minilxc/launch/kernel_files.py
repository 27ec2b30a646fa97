"""Files of procfs that a config sets: lxc.sysctl.* and lxc.proc.*."""

from __future__ import annotations

from minilxc.errors import ConfigError
from minilxc.linux.files import exists, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from minilxc.config.parse import Config


def from_config(config: Config, group: str, directory: str) -> tuple[tuple[str, str], ...]:
    """The files of a group such as lxc.sysctl, as (path below `directory`, value)."""
    found = []
    for entry in config.entries(group):
        name, value = entry.value
        path = name.replace(".", "/")
        # What is below net belongs to the network namespace, and the container's may have other files.
        if not path.startswith("net/") and not exists(f"{directory}/{path}"):
            raise ConfigError(f"{group}.{name}: there is no {directory}/{path}", entry.where)
        found.append((path, value))
    return tuple(found)


def write_sysctls(sysctls: Iterable[tuple[str, str]]) -> None:
    """Child: write (file below /proc/sys, value) in the container's own namespaces. proc_sys(5)."""
    for path, value in sysctls:
        write_text(f"/proc/sys/{path}", value)


def write_proc(files: Iterable[tuple[str, str]], pid: int) -> None:
    """Parent: write (file, value) below /proc/PID of the child. proc_pid(5)."""
    for path, value in files:
        write_text(f"/proc/{pid}/{path}", value)
