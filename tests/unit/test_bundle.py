"""The file that holds the modules of a start: used when it fits, and no reason for anything to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "minilxc"
PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
from minilxc import bundle
modules = bundle.install()
import minilxc.errors, minilxc.log
print(minilxc.errors.printable("a\\nb"), minilxc.log.__loader__ is modules, modules.missed)
bundle.save(modules)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package whose __pycache__ is nobody else's."""
    copy = tmp_path / "minilxc"
    copy.mkdir()
    for name in ("__init__.py", "bundle.py", "errors.py", "log.py"):
        shutil.copy(PACKAGE / name, copy)
    (copy / "linux").mkdir()
    for name in ("__init__.py", "files.py"):
        shutil.copy(PACKAGE / "linux" / name, copy / "linux")
    return tmp_path


def run(checkout: Path) -> str:
    """Import two modules in a new interpreter, and say whether they came out of the bundle."""
    program = PROGRAM.format(folder=str(checkout))
    done = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.strip()


def bundle_of(checkout: Path) -> Path:
    return checkout / "minilxc" / "__pycache__" / f"bundle.{sys.implementation.cache_tag}"


def test_the_second_run_takes_its_modules_from_the_bundle(checkout: Path) -> None:
    assert run(checkout) == "a\\nb False True"
    assert run(checkout) == "a\\nb True False"


def test_a_source_that_changed_is_read_anew(checkout: Path) -> None:
    run(checkout)
    errors = checkout / "minilxc" / "errors.py"
    errors.write_text(errors.read_text() + "\n\ndef printable(text: str) -> str:\n    return 'changed'\n")
    assert run(checkout) == "changed True True"
    assert run(checkout) == "changed True False"


def test_a_source_of_the_same_size_but_another_time_is_read_anew(checkout: Path) -> None:
    run(checkout)
    errors = checkout / "minilxc" / "errors.py"
    os.utime(errors, ns=(0, 10**9))
    assert run(checkout).endswith("True True")


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_bundle_is_as_good_as_none_and_is_replaced(checkout: Path, damage: bytes | None) -> None:
    run(checkout)
    whole = bundle_of(checkout).read_bytes()
    bundle_of(checkout).write_bytes(whole[:20] if damage is None else damage)
    assert run(checkout) == "a\\nb False True"
    assert run(checkout) == "a\\nb True False"


def test_the_bundle_of_another_python_is_not_used(checkout: Path) -> None:
    run(checkout)
    whole = bundle_of(checkout).read_bytes()
    bundle_of(checkout).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert run(checkout) == "a\\nb False True"


def test_no_file_is_left_beside_the_bundle(checkout: Path) -> None:
    run(checkout)
    assert [name for name in os.listdir(bundle_of(checkout).parent) if name.startswith("bundle.cpython")] in (
        [bundle_of(checkout).name],
        [bundle_of(checkout).name, f"{bundle_of(checkout).name}.pyc"],
        [f"{bundle_of(checkout).name}.pyc", bundle_of(checkout).name],
    )
