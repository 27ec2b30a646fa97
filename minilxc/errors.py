"""The errors that a user can cause, and the form in which they are told.

One line each: where, what, and what would be right. Raise where the fact is known,
add `where` where the place is known, print once, in the command line's `main`.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with control characters and undecodable bytes escaped, fit for one line of a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class MinilxcError(Exception):
    """An error that is the user's to know.

    `what` says what is wrong, lower case and without a full stop; `where` is "file:line" or the
    name of a container; `hint` says what would be right and is given only when that is sure.
    `status` is the exit status of a command that ends with this error.
    """

    status = 1

    def __init__(self, what: str, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what, where, hint)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return printable(f"{line} ({self.hint})" if self.hint else line)


class UsageError(MinilxcError):
    """The command line is wrong."""


class ConfigError(MinilxcError):
    """A container's config is wrong; `where` is the "file:line" to blame."""


class PolicyError(MinilxcError):
    """A seccomp policy is wrong; `where` is the "file:line" to blame."""


class StartError(MinilxcError):
    """A step of a start failed. `step` is its name, `errno` the system's reason (0: none)."""

    def __init__(
        self,
        what: str,
        where: str | None = None,
        hint: str | None = None,
        *,
        step: str = "",
        errno: int = 0,
    ) -> None:
        super().__init__(what, where, hint)
        self.step = step
        self.errno = errno


class Refused(MinilxcError):
    """The container would run with less confinement than its config asks for."""
