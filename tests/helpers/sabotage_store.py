"""Runs minilxc's command line with one function of minilxc.store replaced. A program of the tests, not a module:

    python3 -IS sabotage_store.py CHECKOUT FUNCTION HOW ARGUMENT...

FUNCTION is a name below minilxc.store, HOW is what it does instead: fail (with an errno that nothing gives by
itself), bug (another exception), or stop (says so on standard error, waits until a signal is there, and then is
the real one).
"""

import sys

checkout, function, how = sys.argv[1:4]
sys.path[:0] = [
    checkout,
    f"{checkout}/.venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages",
]

import importlib  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import time  # noqa: E402

from minilxc.cli import main  # noqa: E402

EXFULL = 54


def sabotaged(*arguments, **more):
    if how == "fail":
        raise OSError(EXFULL, os.strerror(EXFULL), "the thing")
    if how == "bug":
        raise LookupError("a bug in the function")
    os.write(2, b"STOPPED\n")
    while not signal.sigpending():
        time.sleep(0.005)
    return real(*arguments, **more)


owner = importlib.import_module("minilxc.store")
*path, last = function.split(".")
for part in path:
    if not hasattr(owner, part):
        importlib.import_module(f"{owner.__name__}.{part}")
    owner = getattr(owner, part)
real = getattr(owner, last)
setattr(owner, last, sabotaged)
main(sys.argv[4:])
