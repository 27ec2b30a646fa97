"""minilxc seccomp stats: what a policy's program costs, and what libseccomp's would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..inputs import expect_policy
from ..stats import measure
from . import common

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from ..stats import Measured, Stats

SUMMARY = "measure a policy's program, beside libseccomp's"

_HEAD = f"{'program':<17}{'instructions':>13}{'compile':>12}{'load':>11}   longest and median path"


def options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("policy", metavar="POLICY", help="policy to measure; - reads standard input")
    common.add_arch(parser, help="machine to build for (only this one's programs are loaded)")
    common.add_newer(parser)
    common.add_json(parser)


def run(args: Namespace) -> int:
    """Measure `args.policy`. Returns 0; raises MinilxcError."""
    machines = common.machines(args)
    newer = common.newer_action(args)
    text, path = common.read_input(args.policy)
    expect_policy(text, path)
    found = [measure(text, path, machine, newer) for machine in machines]
    if args.json:
        common.print_json({"policy": path, "machines": [_json(each) for each in found]})
        return 0
    for place, each in enumerate(found):
        if place:
            print()
        if len(found) > 1:
            print(f"{each.machine.name}:")
        for line in table(each):
            print(line)
    return 0


def table(found: Stats) -> Iterator[str]:
    """The lines that show what was measured, a program each."""
    yield _HEAD
    for each in found.programs:
        ways = ", ".join(f"{path.abi.name} {path.longest}/{path.median:g}" for path in each.paths)
        load = "-" if each.load_ms is None else f"{each.load_ms:.3f} ms"
        yield f"{each.maker:<17}{each.instructions:>13}{each.compile_ms:>9.1f} ms{load:>11}   {ways}"
    yield f"verifying minilxc's program takes {found.verify_ms:.1f} ms"


def _json(found: Stats) -> dict[str, Any]:
    return {
        "machine": found.machine.name,
        "verify_ms": found.verify_ms,
        "programs": [_program(each) for each in found.programs],
    }


def _program(each: Measured) -> dict[str, Any]:
    return {
        **each._asdict(),
        "paths": [{**path._asdict(), "abi": path.abi.name} for path in each.paths],
    }
