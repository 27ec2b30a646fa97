"""What a process must take over that is to join a container later: the container's own confinement.

The monitor gives it out of the plan that init got, so neither a changed config nor a changed policy gives
anybody another confinement. It travels as bytes, which `minilxc.launch.enter.Record` reads.
"""

from __future__ import annotations

import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minilxc.launch.plan import Plan


def of(plan: Plan, groups: list[str]) -> bytes:
    """The record of a container with this plan, in these control groups."""
    maps, person, labels = plan.idmap, plan.credentials, plan.labels
    return marshal.dumps(
        (
            (*plan.namespaces.new, *(join.kind for join in plan.namespaces.joined)),
            (maps.uid, maps.gid) if maps is not None else (0, 0),
            plan.mapped,
            maps is not None and maps.keeps_groups,
            tuple(groups),
            plan.program.environment,
            plan.personality,
            plan.limits,
            plan.umask,
            plan.keyring,
            plan.own_core,
            (
                person.uid,
                person.gid,
                person.groups,
                person.dropped,
                person.last_capability,
                person.no_new_privs,
            ),
            (labels.apparmor, labels.selinux, labels.keyring) if labels is not None else None,
            plan.filters.payload if plan.filters is not None else None,
        )
    )
