"""minilxc info: what a container is, has and uses at the moment."""

from __future__ import annotations

import json

from minilxc.cli import common, options
from minilxc.container import STATES
from minilxc.errors import MinilxcError, suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minilxc.container import Container, Info

CONFIG = options.Option("c", "config", "KEY", "print the value of a config key", many=True)
IPS = options.Option("i", "ips", "", "print its addresses")
PID = options.Option("p", "pid", "", "print the number of its process 1")
STATE = options.Option("s", "state", "", "print its state")
STATS = options.Option("S", "stats", "", "print what it uses")
RAW = options.Option("H", "no-humanize", "", "plain numbers; no label for a single fact that is asked for")
COMMAND = options.Command(
    "info",
    "show what a container is, has and uses",
    (*common.ONE, STATE, PID, IPS, STATS, RAW, CONFIG, options.JSON),
    words=common.NAMED,
)
_STOPPED = STATES[0]


def run(words: Sequence[str]) -> int:
    """Print facts, a line each. 1 for a container that is neither defined nor running."""
    return common.run(COMMAND, words, _run)


def _run(given: options.Given) -> int:
    container = common.only_container(COMMAND, given)
    info = container.info()
    if info.state == _STOPPED and not container.defined:
        raise MinilxcError("doesn't exist", container.name)
    if options.JSON in given:
        print(json.dumps(_document(container, info, given.all(CONFIG)), indent=2))
        return 0
    every = not any(option in given for option in (STATE, PID, IPS, STATS, CONFIG))
    bare = RAW in given and sum(option in given for option in (STATE, PID, IPS, STATS)) == 1
    if every:
        _print("Name", container.name)
    if every or STATE in given:
        _print("State", info.state, bare)
    if (every or PID in given) and info.pid is not None:
        _print("PID", str(info.pid), bare)
    if info.pid is not None:
        if every or IPS in given:
            for address in container.ips():
                _print("IP", address, bare)
        if every or STATS in given:
            for label, text in _usage(container, raw=RAW in given):
                _print(label, text)
    for wanted in given.all(CONFIG):
        for key, value in _values(container, wanted) or [(wanted, "")]:
            print(value if RAW in given else f"{key} = {value}")
    return 0


def _print(label: str, text: str, bare: bool = False) -> None:
    print(text if bare else f"{label + ':':15} {text}")


def _usage(container: Container, *, raw: bool) -> Iterator[tuple[str, str]]:
    """What it uses: label and number, as lxc-info has them."""

    def text(number: int) -> str:
        return str(number) if raw else common.size(number)

    found = container.statistics()
    if found.cpu is not None:
        yield "CPU use", str(found.cpu) if raw else f"{found.cpu / 1e9:.2f} seconds"
    if found.read is not None and found.written is not None:
        yield "BlkIO use", text(found.read + found.written)
    if found.memory is not None:
        yield "Memory use", text(found.memory)
    if found.kernel_memory is not None:
        yield "KMem use", text(found.kernel_memory)
    for link in container.links():
        yield "Link", link.name
        yield " TX bytes", text(link.sent)
        yield " RX bytes", text(link.received)
        yield " Total bytes", text(link.sent + link.received)


def _values(container: Container, wanted: str) -> list[tuple[str, str]]:
    """The lines of a config key, or of the keys in a group. Raises MinilxcError when there is no such key."""
    from minilxc.cli.config import is_known
    from minilxc.config.keys import KEYS, TABLE

    lines = [(key, value) for key, value, _ in container.config.lines()]
    found = [line for line in lines if line[0] == wanted]
    found = found or [line for line in lines if line[0].startswith(f"{wanted}.")]
    if not found and wanted not in KEYS and not is_known(wanted):
        raise MinilxcError(f"{wanted}: unknown key", hint=suggestion(wanted, [row.name for row in TABLE]))
    return found


def _document(container: Container, info: Info, keys: Sequence[str]) -> dict[str, object]:
    """All of it, with the names that the Python API has."""
    runs = info.pid is not None
    return {
        "name": container.name,
        "defined": container.defined,
        **info.as_data(),
        "ips": container.ips() if runs else [],
        "interfaces": container.interfaces() if runs else [],
        "links": [link._asdict() for link in container.links()] if runs else [],
        "statistics": container.statistics()._asdict() if runs else None,
        **({"lines": [line for key in keys for line in _values(container, key)]} if keys else {}),
    }
