"""Newer calls that C libraries try first: only ENOSYS sends them to the older one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .. import actions
from .subject import Found, gathered, lets_through
from .twins import SUCCESSORS, TIME64

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .subject import Context, Subject

_TIME64: Final = "C libraries with times of 64 bits call it first"

TRIED_FIRST: Final[Mapping[str, tuple[str, str]]] = {
    "faccessat2": ("faccessat", "access and faccessat of glibc 2.33 call it when there are flags"),
    "fchmodat2": ("fchmodat", "fchmodat of glibc 2.39 calls it when there are flags"),
    **{new: (old, _TIME64) for old, new in TIME64.items()},
}
"""Call: the older one that takes its place, and who tries it."""

OPENAT2: Final = ("openat", "programs that try it first, as systemd does, fail instead of using openat")
"""No C library does: it counts where a rule denies it, as for other successors (`twins`)."""


def clone3_way_around(subject: Subject) -> Iterator[Found]:
    """clone3 let through where clone is filtered: its flags are behind a pointer."""

    def open_() -> Iterator[tuple[str, Context]]:
        for context in subject.contexts:
            if "clone3" in context.table and context.answer("clone") is None and context.may_run("clone3"):
                yield context.conditions("clone")[0].where, context

    for where, contexts in gathered(open_()).items():
        yield Found(
            where,
            "clone is filtered, clone3 is let through and does the same with flags that no filter can see"
            f" (on {subject.names(contexts)})",
            "add 'clone3 errno ENOSYS', which sends C libraries back to clone",
            subject.on(contexts),
        )


def clone3_errno(subject: Subject) -> Iterator[Found]:
    """clone3 denied with another answer than ENOSYS where clone may run."""
    yield from _refused(
        subject, "clone3", "clone", "threads and posix_spawn of glibc 2.34 fail instead of using clone"
    )


def fallback(subject: Subject) -> Iterator[Found]:
    """Other calls that are tried first, denied with another answer than ENOSYS where the older one may run."""
    for new, (old, who) in TRIED_FIRST.items():
        yield from _refused(subject, new, old, who, named=new in SUCCESSORS)
    yield from _refused(subject, "openat2", *OPENAT2, default=False)


def _refused(
    subject: Subject, new: str, old: str, why: str, *, named: bool = True, default: bool = True
) -> Iterator[Found]:
    """`new` denied where `old` may run, by a rule (`named`; if not, the check of twins tells) or the `default`."""

    def wrong() -> Iterator[tuple[tuple[str, int], Context]]:
        for context in subject.contexts:
            if new in context.table and old in context.table and context.may_run(old):
                wanted = default if context.entry(new) is None else named
                answer = context.answer(new) if wanted else None
                if answer is None or lets_through(answer) or answer == context.enosys:
                    continue
                if context.native or any(line.call == old for line in context.lines):
                    yield (context.verdict(new).where, answer), context

    for (where, answer), contexts in gathered(wrong()).items():
        yield Found(
            where,
            f"{new} is answered {actions.word(answer)} and not ENOSYS, {old} is let through: {why}"
            f" (on {subject.names(contexts)})",
            f"'{new} errno ENOSYS', or let it through",
            subject.on(contexts),
        )
