"""The project as it is handed over: the entry script, the wheel, and what the documents say of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from minilxc.cli import COMMANDS
from minilxc.cli.seccomp import COMMANDS as SECCOMP_COMMANDS

CHECKOUT = Path(__file__).resolve().parents[2]
ENTRY = CHECKOUT / "scripts" / "minilxc"
PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"

# Stands in for the real command line: tells where things were imported from.
PROBE = """
import ctypes, os, sys
def main(**_):
    print(ctypes.__file__, __file__, *sys.argv[1:], sys.flags.isolated, sys.flags.no_site, sep="|")
    sys.stdout.flush()
    os._exit(7)
"""


def make_package(folder: Path) -> Path:
    (folder / "minilxc" / "cli").mkdir(parents=True)
    for module in (CHECKOUT / "minilxc").glob("*.py"):
        shutil.copy(module, folder / "minilxc")
    probe = folder / "minilxc" / "cli" / "__init__.py"
    probe.write_text(PROBE)
    return probe


def in_an_environment(top: Path) -> tuple[Path, Path]:
    """As pip leaves it: the script beside the environment's python3."""
    (top / "bin").mkdir(parents=True)
    (top / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))
    shutil.copy(ENTRY, top / "bin" / "minilxc")
    return top / "bin" / "minilxc", make_package(top / "lib" / PYTHON / "site-packages")


def linked_from_elsewhere(top: Path) -> tuple[Path, Path]:
    """A link in a folder that has a python3 of its own, as /usr/local/bin may."""
    _script, probe = in_an_environment(top / "environment")
    (top / "bin").mkdir()
    (top / "bin" / "python3").symlink_to("/bin/false")
    (top / "bin" / "minilxc").symlink_to("../environment/bin/minilxc")
    return top / "bin" / "minilxc", probe


def in_a_checkout(top: Path) -> tuple[Path, Path]:
    """The script in scripts/, the interpreter in .venv, the package beside both."""
    in_an_environment(top / ".venv")
    (top / "scripts").mkdir()
    shutil.copy(ENTRY, top / "scripts" / "minilxc")
    return top / "scripts" / "minilxc", make_package(top)


def in_a_distribution(top: Path) -> tuple[Path, Path]:
    """With the first line that docs/packaging.md gives to a Debian package."""
    script, probe = in_an_environment(top)
    _first, rest = script.read_text().split("\n", 1)
    # The kernel cuts a first line at blanks, so this interpreter's path has none.
    straight = top.parent / "straight"
    straight.symlink_to(top)
    script.write_text(f"#!{straight}/bin/python3 -ISXutf8\n{rest}")
    return script, probe


@pytest.mark.parametrize(
    "layout", [in_an_environment, linked_from_elsewhere, in_a_checkout, in_a_distribution]
)
def test_entry_script_imports_its_own_package_and_nothing_from_a_hostile_folder(layout, tmp_path):
    script, probe = layout(tmp_path / "a place")
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    for module in ("ctypes", "os", "sys", "sitecustomize", "usercustomize", "minilxc", "encodings"):
        (hostile / f"{module}.py").write_text("raise SystemExit('hostile code ran')\n")
    environment = {**os.environ, "PYTHONPATH": str(hostile), "PYTHONHOME": str(hostile), "HOME": str(hostile)}
    relative = os.path.relpath(script, hostile)
    for command in (str(script), relative):
        ran = subprocess.run(
            [command, "one word", "--x"], cwd=hostile, env=environment, text=True, capture_output=True
        )
        found, package, *rest = ran.stdout.rstrip("\n").split("|") if ran.stdout else ("", "")
        assert (ran.stderr, ran.returncode) == ("", 7)
        assert found.startswith(os.path.dirname(os.__file__))
        assert package == str(probe)
        assert rest == ["one word", "--x", "1", "1"]


def test_entry_script_without_an_interpreter_says_so(tmp_path):
    shutil.copy(ENTRY, tmp_path / "minilxc")
    ran = subprocess.run([tmp_path / "minilxc"], text=True, capture_output=True)
    assert ran.stderr == f"minilxc: there is no Python beside {tmp_path}/minilxc (scripts/setup makes one)\n"
    assert ran.returncode == 1


def test_entry_script_reads_file_names_as_utf_8_in_every_locale(tmp_path):
    script, probe = in_an_environment(tmp_path)
    probe.write_text(
        "import os, sys\ndef main(**_):\n    os.write(1, os.fsencode(sys.argv[1]))\n    os._exit(0)\n"
    )
    for locale in ("C", "C.UTF-8", "no-such-locale"):
        ran = subprocess.run(
            [os.fsencode(script), b"\xc3\xa9\xff"], env={"LC_ALL": locale}, capture_output=True, check=True
        )
        assert ran.stdout == b"\xc3\xa9\xff"


def test_wheel_has_the_whole_package_and_installs_a_program_that_runs(tmp_path):
    """Built and installed without a network; the dependencies are not needed to say --version."""
    source = tmp_path / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE", "scripts/minilxc"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, source / name)
    shutil.copytree(CHECKOUT / "minilxc", source / "minilxc", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "-qq"]
    offline = ["--no-index", "--no-deps"]
    wheels = tmp_path / "wheels"
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", wheels, source], check=True)
    (wheel,) = wheels.iterdir()
    wanted = {str(path.relative_to(source)) for path in (source / "minilxc").rglob("*") if path.is_file()}
    assert wanted - set(zipfile.ZipFile(wheel).namelist()) == set()
    assert "minilxc/py.typed" in wanted

    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", environment], check=True)
    subprocess.run(
        [*pip, "--python", environment / "bin" / "python3", "install", *offline, wheel], check=True
    )
    ran = subprocess.run([environment / "bin" / "minilxc", "--version"], text=True, capture_output=True)
    assert (ran.stdout, ran.stderr, ran.returncode) == (f"{project()['version']}\n", "", 0)


def project():
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


def test_commands_of_the_readme_exist():
    readme = (CHECKOUT / "README.md").read_text()
    commands = set(re.findall(r"\b((?:scripts|benchmarks)/[a-z]+)\b", readme))
    assert {"scripts/demo", "scripts/test"} <= commands
    for command in commands | {".ci/run"}:
        assert os.access(CHECKOUT / command, os.X_OK), command


def test_links_of_the_documents_lead_somewhere():
    for document in [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if not target.startswith("https://"):
                assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("command", COMMANDS)
def test_manual_page_has_the_options_that_help_has(command):
    """minilxc(1) has those that the commands share; every other page has the command's own."""
    helped = set()
    for words in [[command, tool] for tool in SECCOMP_COMMANDS] if command == "seccomp" else [[command]]:
        ran = subprocess.run([ENTRY, *words, "--help"], text=True, capture_output=True, check=True)
        helped.update(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", re.sub(r"(?s)\A.*?\n\n", "", ran.stdout)))
    manual = {
        name: set(re.findall(r"\*\*(--?[a-zA-Z][\w-]*)\*\*", page.read_text().replace("\\-", "-")))
        for name in ("minilxc", f"minilxc-{command}")
        for page in [CHECKOUT / "docs" / "man" / f"{name}.md"]
    }
    common, own = manual.values()
    assert helped - common - own == set()
    assert own - helped == set()
