"""The plan of a start, with its policy compiled, or taken from the cache."""

from __future__ import annotations

from minilxc.launch import plan as planning
from minilxc.log import DEBUG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minilxc.config.parse import Config
    from minilxc.launch.plan import Plan
    from minilxc.log import Log
    from minilxc.seccomp.prepare import Prepared


def make(
    config: Config,
    name: str,
    lxcpath: str,
    command: Sequence[str],
    *,
    with_init: bool,
    log: Log,
    background: bool = False,
) -> Plan:
    """The plan for `config`, as minilxc.launch.plan.make; its policy's programs are kept in the state directory."""

    def prepare(path: str, newer: tuple[str, str] | None) -> Prepared:
        from minilxc.launch.lock import open_state_directory
        from minilxc.seccomp.prepare import prepare

        return prepare(
            path,
            machine=None,
            cache_dir=f"{open_state_directory()}/seccomp",
            newer=newer,
            debug=lambda text: log.write(DEBUG, "seccomp", text),
        )

    return planning.make(
        config,
        name,
        lxcpath,
        command,
        with_init=with_init,
        background=background,
        prepare=prepare,
        debug=log.write,
        log_level=log.asked,
    )
