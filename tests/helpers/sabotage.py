"""Runs minilxc's command line with one step of a start replaced. A program of the tests, not a module:

    python3 -IS sabotage.py CHECKOUT SIDE NUMBER HOW ARGUMENT...

SIDE is child, last or parent (whose list of steps), NUMBER the step's place in it, HOW what it does:
fail (with an errno that nothing gives by itself), bug (another exception),
stop-before and stop-after (say so on standard error and wait until the other side is gone). SIDE "names"
prints the names of all steps instead. The real functions run; only the list is another.
"""

import sys

checkout, side, number, how = sys.argv[1:5]
sys.path[:0] = [
    checkout,
    f"{checkout}/.venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages",
]

import os  # noqa: E402
import select  # noqa: E402
import signal  # noqa: E402

from minilxc.cli import main  # noqa: E402
from minilxc.launch import child, parent  # noqa: E402

EXFULL = 54


def stop(what):
    """The parent waits for ever; the child until its parent has gone, and then goes on as if nothing were."""
    os.write(2, b"STOPPED\n")
    if side == "parent":
        signal.pause()
    poll = select.poll()
    poll.register(what.channel.fileno(), 0)
    poll.poll()


def sabotaged(step):
    def act(what):
        if how == "fail":
            raise OSError(EXFULL, os.strerror(EXFULL), "the thing")
        if how == "bug":
            raise LookupError("a bug in the step")
        if how == "stop-before":
            stop(what)
        step.act(what)
        if how == "stop-after":
            stop(what)

    return type(step)(step.name, act)


def replace(module, name):
    real = getattr(module, name)

    def steps(plan):
        found = real(plan)
        if name == {"child": "steps", "last": "last_steps", "parent": "steps"}.get(
            side
        ) and module.__name__.endswith("parent" if side == "parent" else "child"):
            place = int(number)
            return (*found[:place], sabotaged(found[place]), *found[place + 1 :])
        return found

    setattr(module, name, steps)


if side == "names":
    for module, name, of in (
        (child, "steps", "child"),
        (child, "last_steps", "last"),
        (parent, "steps", "parent"),
    ):
        real = getattr(module, name)

        def told(plan, real=real, of=of):
            found = real(plan)
            os.write(2, "".join(f"{of}:{step.name}\n" for step in found).encode())
            return found

        setattr(module, name, told)
else:
    for module, name in ((child, "steps"), (child, "last_steps"), (parent, "steps")):
        replace(module, name)
main(sys.argv[5:])
