"""What is attended to while a start, or an end, waits for something: our signals, and who asks the monitor."""

from __future__ import annotations

import select

from minilxc.linux import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Desk(Protocol):
        """Where others ask the monitor of a container."""

        def listen(self, folder: int) -> None:
            """Be there for others from now on, through a socket in the folder, a descriptor. Raises OSError."""

        def fileno(self) -> int:
            """A descriptor that can be read from when somebody has something to say."""

        def serve(self) -> list[int]:
            """Answer who has; the numbers of the signals that a start is to be interrupted with."""

        def tell(self, state: str) -> None:
            """Have the container's state be known."""

        def close(self) -> None:
            """Hang up: the container has ended, and its name is free."""


class Attention:
    """The signalfd of all our signals, and the desk, None where nobody can ask."""

    __slots__ = ("desk", "signals")

    def __init__(self, signals: int, desk: Desk | None) -> None:
        self.signals = signals
        self.desk = desk

    def register(self, poll: select.poll) -> None:
        """Have `poll` wait for them too."""
        poll.register(self.signals, select.POLLIN)
        if self.desk is not None:
            poll.register(self.desk.fileno(), select.POLLIN)

    def heed(self, ready: set[int]) -> list[int]:
        """Answer who asks, as far as they are among the descriptors `ready`; the signals that have come."""
        numbers = process.read_signals(self.signals) if self.signals in ready else []
        if self.desk is not None and self.desk.fileno() in ready:
            numbers += self.desk.serve()
        return numbers
