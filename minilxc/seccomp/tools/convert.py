"""minilxc seccomp convert: a profile of Docker or OCI to a policy, a policy to an OCI profile."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from minilxc.errors import MinilxcError, UsageError, printable, suggestion
from minilxc.linux.names import CAPABILITIES

from .. import inputs, oci
from .. import profile as profiles
from ..policy_to_profile import resolved, to_oci
from ..profile_to_policy import to_policy
from . import common

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..convert import Converted

SUMMARY = "convert between policies and profiles of Docker and OCI"

_POLICY, _OCI = "policy", "oci"


def options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a profile (JSON, as Docker takes it, or a bundle's config.json) or a policy; - reads standard input",
    )
    parser.add_argument(
        "--to",
        choices=(_POLICY, _OCI),
        help="what to write (default: the other of the two); oci is the linux.seccomp of a bundle, which of a profile"
        " has the rules that count for the given --cap, --kernel and --arch",
    )
    common.add_arch(parser, help="machine on which the meaning is to be kept")
    parser.add_argument(
        "--cap",
        metavar="CAP",
        action="append",
        default=[],
        help="a capability of the container, which a profile may ask for; may be repeated (default: none)",
    )
    parser.add_argument(
        "--kernel", metavar="X.Y", help="the kernel that a profile may ask for (default: this one)"
    )
    parser.add_argument(
        "--lossy", action="store_true", help="leave out what the other language cannot say, and list it"
    )
    common.add_newer(parser)
    common.add_json(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="where to write (default: standard output)"
    )


def run(args: Namespace) -> int:
    """Convert `args.file`. Returns 0, or 1 where something cannot be said; raises MinilxcError.

    What is lost stands on standard error, a line each, and so does what a reader should know; with
    `--json` they stand in the document.
    """
    text, path = common.read_input(args.file)
    source = _OCI if inputs.kind_of(text) == "profile" else _POLICY
    if source == _POLICY:
        inputs.expect_policy(text, path)
    if args.to == source == _POLICY:
        raise UsageError(f"{path} is a policy already")
    machines = common.machines(args)
    newer = common.newer_action(args)
    if source == _OCI:
        if newer:
            raise UsageError(f"--newer is for a policy, and {path} is a profile")
        hosts = [oci.Host(machine, _capabilities(args.cap), _kernel(args.kernel)) for machine in machines]
        profile = profiles.parse(text, path)
        converted = resolved(profile, hosts) if args.to == _OCI else to_policy(profile, hosts)
    else:
        for option, given in (("--cap", args.cap), ("--kernel", args.kernel)):
            if given:
                raise UsageError(f"{option} is for a profile, and {path} is a policy")
        converted = to_oci(text, path, machines, newer)
    lost = bool(converted.losses) and not args.lossy
    if not lost and not (args.json and args.output == "-"):
        try:
            common.write(args.output, converted.text.encode(), binary=False)
        except OSError as error:
            raise MinilxcError(error.strerror or str(error), where=args.output) from None
    _tell(converted, args, lost)
    return int(lost)


def _tell(converted: Converted, args: Namespace, lost: bool) -> None:
    """Say what is lost and what a reader should know. `lost`: nothing is written, so JSON has no text."""
    if args.json:
        common.print_json(
            {
                "text": None if lost else converted.text,
                "losses": [loss._asdict() for loss in converted.losses],
                "notes": [{"where": where, "text": text} for where, text in converted.notes],
            }
        )
        return
    for loss in converted.losses:
        told = f"{loss.what}: {loss.instead}" if args.lossy else f"{loss.what} (--lossy: {loss.instead})"
        print(printable(f"{loss.where}: {told}"), file=sys.stderr)
    for where, text in () if lost else converted.notes:
        print(printable(f"{where}: note: {text}"), file=sys.stderr)


def _capabilities(words: list[str]) -> frozenset[str]:
    """Names of capabilities as profiles write them: CAP_SYS_ADMIN. Raises UsageError."""
    found = set()
    for word in words:
        name = word.upper().removeprefix("CAP_")
        if name.lower() not in CAPABILITIES:
            known = [f"CAP_{each.upper()}" for each in CAPABILITIES]
            raise UsageError(f"unknown capability '{word}'", hint=suggestion(f"CAP_{name}", known))
        found.add(f"CAP_{name}")
    return frozenset(found)


def _kernel(word: str | None) -> tuple[int, ...]:
    """The kernel's version. Raises UsageError."""
    if word is None:
        return oci.this_kernel()
    found = profiles.version(word)
    if not found:
        raise UsageError(f"'{word}' is no version of a kernel", hint="as in --kernel 6.1")
    return found
