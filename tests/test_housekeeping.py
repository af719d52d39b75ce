"""Files that must say the same thing say the same thing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import PurePath

import pytest
import yaml
from helpers.paths import CORE, ROOT, TESTS
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
MARKERS = PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]
NEEDED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
LOCKED = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]


def test_conda_users_get_what_pyproject_says():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, java, pip, section = environment["dependencies"]
    assert environment["name"] == PROJECT["name"]
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])
    assert (java, pip) == ("openjdk>=11", "pip")
    constraint, itself = section["pip"]
    assert (ROOT / constraint.removeprefix("-c ")).is_file()
    assert re.fullmatch(r"-e \.\[(\w+)\]", itself)[1] in PROJECT["optional-dependencies"]


@pytest.mark.parametrize("line", LOCKED)
def test_the_lock_pins_each_package_once_and_for_every_build_of_it(line):
    pin = Requirement(line)
    (specifier,) = pin.specifier
    assert specifier.operator == "==" and Version(specifier.version).local is None
    assert line == f"{canonicalize_name(pin.name)}=={specifier.version}"
    assert [other.partition("==")[0] for other in LOCKED].count(pin.name) == 1


@pytest.mark.parametrize("text", NEEDED)
def test_the_lock_satisfies_pyproject(text):
    need = Requirement(text)
    pins = dict(line.split("==") for line in LOCKED)
    assert need.specifier.contains(pins[canonicalize_name(need.name)])


def test_a_package_in_two_extras_has_one_range():
    ranges: dict[str, set[str]] = {}
    for text in [
        *PROJECT["dependencies"],
        *(t for ts in PROJECT["optional-dependencies"].values() for t in ts),
    ]:
        ranges.setdefault(Requirement(text).name, set()).add(text)
    assert {name for name, texts in ranges.items() if len(texts) > 1} == set()


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"].keys() - {"dev"}))
def test_an_extra_has_code_that_imports_it(extra):
    source = "\n".join(path.read_text("utf-8") for path in CORE.rglob("*.py"))
    for text in PROJECT["optional-dependencies"][extra]:
        module = Requirement(text).name.replace("-", "_")  # a model of spaCy is loaded by this name
        assert re.search(rf"^ *(import|from) {module}\b|\"{module}\"", source, re.MULTILINE), text


@pytest.mark.parametrize("marker", [text.partition(":")[0] for text in MARKERS])
def test_a_marker_has_tests(marker):
    assert any(f"mark.{marker}" in path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))


def test_every_file_of_the_library_is_installed():
    """A wheel holds Python files and what package-data names; a stub of lazy imports that is missing breaks them."""
    data = PYPROJECT["tool"]["setuptools"]["package-data"]
    listed = subprocess.run(
        ["git", "ls-files", "eefcore"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    others = [PurePath(line) for line in listed.stdout.splitlines() if not line.endswith(".py")]
    assert others
    anywhere = [path for path in others if any(path.match(pattern) for pattern in data["*"])]
    named = [path for path in others if any(path.match(f"eefcore/{pattern}") for pattern in data["eefcore"])]
    assert set(others) == {*anywhere, *named}


def test_the_version_is_said_once():
    import eefcore

    assert eefcore.__version__ == PROJECT["version"] == distribution("eefcore").version


@pytest.mark.parametrize("target", ["run", "test", "lab", "check", "docs", "setup", "lock"])
def test_the_makefile_has_its_targets(target):
    plan = subprocess.run(["make", "-n", "-B", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert plan.returncode == 0, plan.stderr


def test_make_test_leaves_the_long_ones_to_ci():
    def asked(**environment: str) -> str:
        clean = {k: v for k, v in os.environ.items() if k != "CI"} | environment
        return subprocess.run(
            ["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, env=clean
        ).stdout

    assert '-m "not exhaustive and not slow and not notebook"' in asked()
    assert '-m "not exhaustive"' in asked(CI="true")
    assert "--cov" in asked(CI="true") and "--cov" not in asked()


def test_ci_is_a_program_and_bash_can_read_it():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


@pytest.mark.parametrize("failing", ["", "docs", "test"])
def test_ci_fails_with_any_of_its_checks_and_ends_in_the_line_of_pytest(failing, tmp_path):
    for name, script in {
        "make": f'echo "of $1"; [ "$1" != "{failing}" ]',
        "java": "true",
        "chromium-headless-shell": "true",
    }.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",  # nothing is installed into the environment that the tests run in
    }
    ran = subprocess.run([ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode == 0) == (failing == "")
    assert ran.stdout.splitlines()[-1] == "of test"


@pytest.mark.parametrize("command", [["check", "."], ["format", "--check", "."]], ids=lambda c: c[0])
def test_the_code_passes_ruff(command):
    said = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout[-3000:]


def test_nothing_that_is_made_is_tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-c", "-i", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert listed.stdout == ""
