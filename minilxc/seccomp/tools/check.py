"""minilxc seccomp check: what is wrong and what is doubtful in policies, line by line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from minilxc.errors import PolicyError

from ..check import MACHINES, check, default_machines, failed, of_error
from ..report import FORMATS, as_text
from .common import STDIN, add_json, add_newer, colours, machines, newer_action, read_input

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from ..check import Finding

SUMMARY = "say what is wrong and what is doubtful in seccomp policies"

_SUFFIX = ".seccomp"


def options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "policy",
        metavar="POLICY",
        nargs="+",
        help=f"policies to check; of a folder, the files in it and below whose names end in {_SUFFIX};"
        " - reads standard input",
    )
    parser.add_argument(
        "--arch",
        metavar="ARCH",
        action="append",
        help="machine to judge for, as libseccomp, Debian or uname spell it; may be repeated"
        f" (default: {' '.join(MACHINES)})",
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    parser.add_argument(
        "--format", choices=sorted(FORMATS), help="how to tell: text (the default), json, sarif, github"
    )
    add_json(parser)
    add_newer(parser)


def run(args: Namespace) -> int:
    """Check `args.policy`. Returns 1 when there are errors, or warnings and `--strict`; else 0."""
    asked = machines(args) if args.arch else default_machines()
    newer = newer_action(args)
    findings: list[Finding] = []
    for path in dict.fromkeys(args.policy):
        for file, error in _files(path):
            if error is None:
                try:
                    if file == "-" and sys.stdin is None:  # as Python has it when the descriptor is closed
                        raise PolicyError("standard input is closed")
                    text, name = read_input(file)
                except PolicyError as caught:
                    findings.append(of_error(caught, "unreadable", STDIN if file == "-" else file))
                except OSError as caught:  # standard input cannot be read
                    findings.append(
                        of_error(PolicyError(caught.strerror or str(caught)), "unreadable", STDIN)
                    )
                else:
                    findings += check(text, name, asked, newer=newer)
            else:
                findings.append(of_error(error, "unreadable", file))
    form = args.format or ("json" if args.json else "text")
    colour = form == "text" and colours(sys.stdout)
    sys.stdout.write(as_text(findings, colour=True) if colour else FORMATS[form](findings))
    return int(failed(findings, strict=args.strict))


def _files(path: str) -> Iterator[tuple[str, PolicyError | None]]:
    """The policies that `path` means, each with what is wrong with it if that is known before it is read.

    Of a folder these are the files whose names end in _SUFFIX, in it and in the folders below. Folders that
    begin with a dot (a repository's own) and links to folders are left out.
    """
    folders = [path]
    found = False
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            if folder == path and isinstance(error, (NotADirectoryError, FileNotFoundError)):
                yield path, None  # a file, or none: reading it will tell
                return
            found = True
            yield folder, PolicyError(error.strerror or str(error))
            continue
        except ValueError:  # a NUL in the name
            yield path, None
            return
        below = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below += [entry.path] if not entry.name.startswith(".") else []
            elif entry.name.endswith(_SUFFIX) and not os.path.isdir(entry.path):
                found = True
                special = os.path.exists(entry.path) and not os.path.isfile(entry.path)
                yield entry.path, PolicyError("this is no regular file") if special else None
        folders += reversed(below)
    if not found:
        yield path, PolicyError(f"no file in this folder or below has a name that ends in {_SUFFIX}")
