"""minilxc checkconfig: are a config and its policy good, and what does this kernel lack for them?"""

from __future__ import annotations

import sys

from minilxc.cli import options, start
from minilxc.config.parse import Config, Note
from minilxc.errors import MinilxcError, UsageError
from minilxc.launch import lock
from minilxc.launch import plan as planning
from minilxc.linux import features
from minilxc.log import NAMES, WARN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minilxc.launch.plan import Plan
    from minilxc.seccomp.prepare import Prepared

COMMAND = options.Command(
    "checkconfig",
    "check a config and its policy without starting",
    (options.NAME, options.FILE, options.PATH, options.DEFINE),
)


def run(words: Sequence[str]) -> int:
    """Print what is wrong, one line each; 0 when a start would be tried, 1 when it would be refused."""
    given = options.read(COMMAND, words)
    if options.show_about(COMMAND, given):
        return 0
    name = given.get(options.NAME)
    if name is None and given.get(options.FILE) is None:
        raise UsageError("which config? (-f FILE, or -n NAME)", hint=COMMAND.usage())
    plan = _checked_plan(given, planning.check_name(name) if name is not None else "-")
    if plan is None:
        return 1
    for subject, text in plan.lines():
        print(f"{subject:12} {text}")
    lacking = list(_lacking(plan))
    for line in lacking:
        _complain(f"this kernel lacks {line}")
    if not lacking:
        print("good")
    return 1 if lacking else 0


def _checked_plan(given: options.Given, name: str) -> Plan | None:
    """The plan of a start, or None after all that speaks against one has been said."""
    path = start.config_path(given, given.get(options.PATH) or lock.DEFAULT_PATH, name)
    defines = given.all(options.DEFINE)
    findings = Config.problems(path, defines)
    for finding in findings:
        if isinstance(finding, Note):
            print(f"{finding.where}: {NAMES[finding.level].lower()}: {finding.text}")
        else:
            _complain(str(finding))
    if not all(isinstance(finding, Note) for finding in findings):
        return None
    config = Config.read(path, defines)
    try:
        return planning.make(config, name, "", (), with_init=False, prepare=_prepare, debug=_say_warning)
    except _Several as several:
        for error in several.errors:
            _complain(str(error))
    except MinilxcError as error:
        _complain(str(error))
    return None


def _complain(text: str) -> None:
    print(f"minilxc: {text}", file=sys.stderr)


def _say_warning(level: int, _: str, text: str) -> None:
    if level >= WARN:
        print(text)


class _Several(Exception):
    """All that is wrong with a policy."""

    def __init__(self, errors: Sequence[MinilxcError]) -> None:
        super().__init__(errors)
        self.errors = errors


def _prepare(path: str, newer: tuple[str, str] | None) -> Prepared:
    """Compile the policy anew, as no start has, and say everything that is wrong with it."""
    from minilxc.seccomp import policy
    from minilxc.seccomp.prepare import prepare
    from minilxc.seccomp.source import read

    wrong = policy.errors(read(path), path)
    if len(wrong) > 1:
        raise _Several(wrong)
    return prepare(path, machine=None, cache_dir=None, newer=newer)


def _lacking(plan: Plan) -> Iterator[str]:
    """What a start of `plan` needs and this kernel does not have."""
    yield from features.missing_calls()
    for kind in sorted(plan.namespaces.new):
        if not features.has_namespace(kind):
            yield f"{kind} namespaces"
    if "user" in plan.namespaces.new and not features.user_namespaces_allowed():
        yield "user namespaces (/proc/sys/user/max_user_namespaces is 0)"
    if plan.filters is not None and not {"errno", "allow", "kill_thread"} <= features.seccomp_actions():
        yield "seccomp filters"
