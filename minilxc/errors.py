"""The errors that a user can cause, and the form in which they are told.

One line each: where, what, and what would be right. Raise where the fact is known,
add `where` where the place is known, print once, in the command line: an exception is printed where it ends a command.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def printable(text: str) -> str:
    """`text` with control characters and undecodable bytes escaped, fit for one line of a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    byte = ord(c) - 0xDC00  # of a text that was read with "surrogateescape"
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else ascii(c)[1:-1]


SHORT = 0.66
"""How alike short words, as those of a command line, must be for a suggestion; of 1."""


def suggestion(word: str, words: Iterable[str], alike: float = 0.75) -> str | None:
    """The hint "did you mean 'x'?" when one of `words` is close to `word` (by at least `alike`, of 1), else None."""
    from difflib import get_close_matches  # only on the way to an error: it imports re and collections

    close = get_close_matches(word, list(words), 1, alike)
    return f"did you mean '{close[0]}'?" if close else None


class MinilxcError(Exception):
    """An error that is the user's to know.

    `what` says what is wrong, lower case and without a full stop; `where` is "file:line" or the
    name of a container; `hint` says what would be right and is given only when that is sure.
    `status` is the exit status of a command that ends with this error. `step` and `errno` are of a StartError.
    """

    status = 1
    step = ""
    errno = 0

    def __init__(self, what: str, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what, where, hint)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return printable(f"{line} ({self.hint})" if self.hint else line)

    @property
    def file(self) -> str | None:
        """The file to blame, where there is one: a config, or a policy."""
        return self._place()[0]

    @property
    def line(self) -> int | None:
        """The line of that file."""
        return self._place()[1]

    def _place(self) -> tuple[str | None, int | None]:
        # A step's error is about a container, and its line in the hint; a hook's is at the end of what it says.
        for text in (
            self.where,
            (self.hint or "").partition("; ")[0],
            self.what.rpartition("(")[2].rstrip(")"),
        ):
            file, _, number = (text or "").rpartition(":")
            if file and number.isdecimal():
                return file, int(number)
        return None, None


class UsageError(MinilxcError):
    """The command line is wrong."""

    status = 2


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
