"""The file that holds the modules of a start: used when it fits, and no reason for anything to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "minilxc"
HEAD = "import sys; sys.path[:0] = [{folder!r}, {packages!r}]; from minilxc import bundle; "
LOAD = (
    "print(bundle.load()); import minilxc.errors as e; print(e.printable('a\\nb'), e.__spec__.loader is None)"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package, with a __pycache__ of its own and a bundle in it."""
    shutil.copytree(PACKAGE, tmp_path / "minilxc", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "minilxc" / "__pycache__").mkdir()
    python(tmp_path, "bundle.build()")
    assert bundle_of(tmp_path).exists()
    return tmp_path


def python(checkout: Path, program: str) -> str:
    """Run `program` in an interpreter that has imported nothing but `bundle`; what it prints."""
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    program = HEAD.format(folder=str(checkout), packages=packages) + program
    done = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.strip()


def bundle_of(checkout: Path) -> Path:
    return checkout / "minilxc" / "__pycache__" / f"start.{sys.implementation.cache_tag}.bundle"


def test_modules_come_out_of_the_bundle_and_work(checkout: Path) -> None:
    assert python(checkout, LOAD) == "True\na\\nb True"


def test_everything_that_a_start_imports_is_there_and_nothing_is_imported_twice(checkout: Path) -> None:
    program = (
        "bundle.load(); before = set(sys.modules); "
        "import minilxc.cli.start, minilxc.config.parse, minilxc.launch.plan, minilxc.monitor.life; "
        "import minilxc.launch.terminal, minilxc.seccomp.loader, minilxc.seccomp.prepare; "
        "print(set(sys.modules) - before)"
    )
    assert python(checkout, program) == "set()"


def test_a_module_that_is_not_in_the_bundle_is_imported_as_ever(checkout: Path) -> None:
    assert (
        python(checkout, "bundle.load(); import minilxc.linux.loop as l; print(l.__name__)")
        == "minilxc.linux.loop"
    )


def test_a_source_that_changed_makes_the_bundle_stale(checkout: Path) -> None:
    errors = checkout / "minilxc" / "errors.py"
    errors.write_text(errors.read_text() + "\n\ndef printable(text: str) -> str:\n    return 'changed'\n")
    assert python(checkout, LOAD) == "False\nchanged False"
    python(checkout, "bundle.rebuild()")
    assert python(checkout, LOAD) == "True\nchanged True"


def test_a_source_of_the_same_size_but_another_time_makes_the_bundle_stale(checkout: Path) -> None:
    os.utime(checkout / "minilxc" / "log.py", ns=(0, 10**9))
    assert python(checkout, LOAD) == "False\na\\nb False"


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_bundle_is_as_good_as_none(checkout: Path, damage: bytes | None) -> None:
    whole = bundle_of(checkout).read_bytes()
    bundle_of(checkout).write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert python(checkout, LOAD) == "False\na\\nb False"


def test_the_bundle_of_another_python_is_not_used(checkout: Path) -> None:
    whole = bundle_of(checkout).read_bytes()
    bundle_of(checkout).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert python(checkout, LOAD) == "False\na\\nb False"


def test_building_leaves_no_other_file(checkout: Path) -> None:
    python(checkout, "bundle.rebuild()")
    left = [
        name for name in os.listdir(bundle_of(checkout).parent) if "bundle" in name and ".pyc" not in name
    ]
    assert left == [bundle_of(checkout).name]
