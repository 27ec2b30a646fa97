"""minilxc checkconfig: are a config and its policy good, and what does this kernel lack for them?"""

from __future__ import annotations

import sys

from minilxc.cli import options, start
from minilxc.config.parse import Config
from minilxc.errors import MinilxcError, UsageError
from minilxc.launch import lock
from minilxc.launch import plan as planning
from minilxc.linux import features
from minilxc.linux.files import is_file
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
    plan = _checked_plan(given, lock.check_name(name) if name is not None else "-")
    if plan is None:
        return 1
    for subject, text in plan.lines():
        print(f"{subject:12} {text}")
    lacking = list(_lacking(plan))
    for line in lacking:
        _complain(line)
    if not lacking:
        print("good")
    return 1 if lacking else 0


def _checked_plan(given: options.Given, name: str) -> Plan | None:
    """The plan of a start, or None after all that speaks against one has been said."""
    lxcpath = given.get(options.PATH) or lock.default_path()
    source = start.config_path(given, lxcpath, name)
    config, wrong, notes = Config.examine(source, given.all(options.DEFINE))
    for note in notes:
        print(f"{note.where}: {NAMES[note.level].lower()}: {note.text}")
    for error in wrong:
        _complain(str(error))
    policy = _Policy()
    plan = None
    if not wrong:  # what a line that is left out leads to would be no news
        try:
            plan = planning.make(
                config,
                name,
                lxcpath if name != "-" else "",
                (),
                with_init=False,
                prepare=policy.judge,
                debug=_say_warning,
            )
        except MinilxcError as error:
            _complain(str(error))
    path = config.get("lxc.seccomp.profile")
    if not policy.judged and path is not None and is_file(path):
        policy.judge(path, planning.newer_action(config))
    return plan if policy.good else None


def _complain(text: str) -> None:
    print(f"minilxc: {text}", file=sys.stderr)


def _say_warning(level: int, _: str, text: str) -> None:
    if level >= WARN:
        print(text)


class _Policy:
    """Judges the policy, once, whatever else is wrong."""

    __slots__ = ("good", "judged")

    def __init__(self) -> None:
        self.judged = False
        self.good = True

    def judge(self, path: str, newer: tuple[str, str] | None) -> Prepared:
        """Compile the policy anew, as no start has, and say everything that is wrong with it."""
        from minilxc.seccomp import policy
        from minilxc.seccomp.prepare import Prepared, prepare
        from minilxc.seccomp.source import read

        self.judged = True
        try:
            wrong: Sequence[MinilxcError] = policy.errors(read(path), path)
            if not wrong:
                return prepare(path, machine=None, cache_dir=None, newer=newer)
        except MinilxcError as error:
            wrong = [error]
        self.good = False
        for each in wrong:
            _complain(str(each))
        return Prepared(b"", b"", path)


def _lacking(plan: Plan) -> Iterator[str]:
    """What a start of `plan` needs and this kernel does not have, a line each."""
    for call in features.missing_calls():
        yield f"this kernel lacks {call}"
    if "user" in plan.namespaces.new and not features.user_namespaces_allowed():
        yield "this kernel lacks user namespaces (/proc/sys/user/max_user_namespaces is 0)"
    if plan.filters is not None and not {"errno", "allow", "kill_thread"} <= features.seccomp_actions():
        yield "this kernel lacks seccomp filters"
    if plan.rootfs.layers and not features.has_filesystem("overlay"):
        yield "this kernel lacks the file system 'overlay'"
    for mount in plan.system_mounts + plan.mounts:
        if mount.fstype is not None and not mount.optional and not features.has_filesystem(mount.fstype):
            what = f"this kernel lacks the file system '{mount.fstype}'"
            yield f"{mount.where}: {what}" if mount.where else what
