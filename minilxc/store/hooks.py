"""The hooks that run when a container is copied or destroyed, on the host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from minilxc.errors import MinilxcError
from minilxc.launch import hooks
from minilxc.launch.attention import Attention
from minilxc.launch.rootfs import Rootfs

if TYPE_CHECKING:
    from minilxc.config.parse import Config
    from minilxc.log import Log


def run(
    kind: str,
    config: Config,
    name: str,
    signals: int,
    log: Log,
    *,
    rootfs: str | None,
    environment: dict[str, str] | None = None,
    arguments: tuple[str, ...] = (),
) -> None:
    """Run the hooks of a kind ("clone", "destroy") of the container `name`, whose root file system is at `rootfs`.

    `environment` has what is to be told otherwise than the config has it; `arguments` follow the usual ones.
    Raises MinilxcError about the first that fails; what is behind it does not run.
    """
    own = hooks.environment(config, name, Rootfs(rootfs, rootfs or "/"), log.asked)
    variables = {**os.environ, **dict(config.get("lxc.environment.hooks")), **own, **(environment or {})}
    for entry in config.entries(f"lxc.hook.{kind}"):
        script = hooks.script(
            kind,
            "lxc",
            entry.value,
            entry.where,
            container=name,
            version=config.get("lxc.hook.version"),
            environment=variables,
            title=f"{kind} hook",
        )
        try:
            hooks.run(script, log, Attention(signals, None), arguments=arguments)
        except OSError as error:
            raise MinilxcError(f"{script.title}: {error.filename}: {error.strerror}", name) from None
