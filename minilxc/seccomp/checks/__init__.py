"""The catalogue of checks: what is doubtful in a policy that is right, one function each.

To add a check is to write a function from a `Subject` to what it `Found`, and a row here. The manual's
table comes from these rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from . import (
    defaults,
    fallback,
    flags,
    multiplexed,
    names,
    needs,
    notify,
    order,
    overlaps,
    pointers,
    rings,
    sections,
    twins,
    widths,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .subject import Found, Subject

ERROR: Final = "error"
"""The policy cannot be used."""
WARNING: Final = "warning"
"""It probably means something else than it says."""
NOTE: Final = "note"
"""Worth knowing; never a failure."""


class Check(NamedTuple):
    """A kind of finding: its id, its severity, what it is about in a line, and what finds it.

    `find` is None for errors, which are found while a policy is read and compiled.
    """

    id: str
    severity: str
    about: str
    find: Callable[[Subject], Iterable[Found]] | None = None


CATALOGUE: Final = (
    Check("unreadable", ERROR, "a file cannot be read, or a folder has no policies"),
    Check("syntax", ERROR, "a line is not in the language, or names what no architecture has"),
    Check("errno-name", ERROR, "an errno is given by a name whose number is not known for a machine"),
    Check("compile", ERROR, "no program can be made of rules: filters contradict each other, or are too many"),
    Check("newer", ERROR, "an answer to newer calls where the default lets them run"),
    Check("exception", WARNING, "a comment 'check accepts' gives no reason, or no warning or note of this table"),
    Check("no-execve", WARNING, "execve is not allowed, so nothing can start", needs.execve),
    Check("needed-calls", WARNING, "an allowlist lacks calls that every dynamically linked program makes",
          needs.needed),
    Check("turned-round", WARNING, "an allowlist's default allows, or a denylist's denies", defaults.turned_round),
    Check("success-default", WARNING, "the default answers errno 0, which means success", defaults.success),
    Check("newer-answer", WARNING, "an answer to newer calls that is not what C libraries take for an older kernel",
          defaults.newer),
    Check("shadowed", WARNING, "an earlier rule without filters stands, so this one has no effect", order.shadowed),
    Check("replaced", WARNING, "a rule without filters takes the effect from those with filters", order.replaced),
    Check("lost-exception", WARNING, "a filtered rule equal to the default does not except calls from another",
          order.lost_exception),
    Check("reopened", WARNING, "a section's filters let through what the general rules deny", order.reopened),
    Check("overlap", WARNING, "filters of two rules overlap, and the answers differ", overlaps.overlaps),
    Check("cut-argument", WARNING, "a comparison without a mask of an argument that the kernel cuts", widths.cut),
    Check("exact-flags", WARNING, "a comparison of a set of flags that one more flag gets around", flags.exact),
    Check("constant-filter", WARNING, "a filter that always or never holds on an ABI", widths.constant),
    Check("pointer", WARNING, "a filter on an argument that is a pointer", pointers.pointer),
    Check("other-argument", WARNING, "a filter on an argument that is another one on some ABI",
          pointers.other_argument),
    Check("blind-filter", WARNING, "socketcall or ipc hides the arguments that a filter is about", multiplexed.blind),
    Check("multiplexer", WARNING, "socketcall or ipc is let through, and calls behind it are not",
          multiplexed.opened),
    Check("twin", WARNING, "a call is denied, and one that does the same is not", twins.twins),
    Check("io-uring", WARNING, "io_uring is let through, and calls that it makes unasked are not", rings.ring),
    Check("clone3-open", WARNING, "clone is filtered, and clone3 is let through", fallback.clone3_way_around),
    Check("clone3-errno", WARNING, "clone3 is denied with another answer than ENOSYS, and clone is let through",
          fallback.clone3_errno),
    Check("fallback", WARNING, "another newer call is answered something else than ENOSYS, the older one let through",
          fallback.fallback),
    Check("absent-in-section", WARNING, "an ABI's section names a call that the ABI does not have",
          names.absent_in_section),
    Check("unknown-number", WARNING, "a number of version 1 is no known call", names.unknown_number),
    Check("equal-default", WARNING, "a rule says what the default says", order.equal_to_default),
    Check("unread-section", WARNING, "a section is for none of the machines asked for", sections.unread),
    Check("unused-exception", NOTE, "a comment 'check accepts' has nothing to accept"),
    Check("duplicate", NOTE, "a rule says what another has said", order.duplicate),
    Check("section-overrides", NOTE, "a section's rule replaces a general one", order.section_overrides),
    Check("absent", NOTE, "a call exists on none of the ABIs that its line is for", names.absent),
    Check("native-only", NOTE, "an allowlist without sections closes the machine's other ABIs", sections.native_only),
    Check("numbers-differ", NOTE, "numbers of version 1 are other calls on another machine", names.numbers_differ),
    Check("notify", NOTE, "an answer needs a listener", notify.listener),
)  # fmt: skip
"""Every kind of finding, the gravest first."""

BY_ID: Final = {check.id: check for check in CATALOGUE}
