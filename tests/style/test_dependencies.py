"""What is installed is what is used: declared, imported and locked agree."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from source_tree import ROOT, modules

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
OWN = {"tools", "lab", "streams", "tests", *(path.stem for path in (ROOT / "tests").rglob("*.py"))}

# Packages that several distributions share, by what is imported of them.
SHARED = {
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "opentelemetry.exporter.otlp.proto.grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.instrumentation.requests": "opentelemetry-instrumentation-requests",
    "opentelemetry.proto": "opentelemetry-proto",
    "opentelemetry.sdk": "opentelemetry-sdk",
}
# Needed without being imported by name.
RUNTIME_BY_NAME = {
    "tzdata": "the zone of the office hours where the system has none",
}
DEV_BY_NAME = {
    "mypy": "make check",
    "pip-audit": "make audit",
    "pytest-asyncio": "plugin",
    "pytest-timeout": "plugin",
    "pytest-xdist": "plugin",
    "ruff": "make check",
    "types-grpcio": "for mypy",
    "types-jsonschema": "for mypy",
    "types-protobuf": "for mypy",
    "types-psutil": "for mypy",
    "types-pyyaml": "for mypy",
}


def names(requirements: list[str]) -> set[str]:
    """Return the distributions that a list of requirements names."""
    return {canonicalize_name(Requirement(text).name) for text in requirements}


RUNTIME = names(PROJECT["project"]["dependencies"])
DEV = names(PROJECT["dependency-groups"]["dev"])


def imported(folder: str) -> set[str]:
    """Return the distributions that the modules under a folder import."""
    distributions = packages_distributions()
    found = set()
    for module in modules(folder):
        for _, name in module.imports():
            shared = next((of for part, of in SHARED.items() if f"{name}.".startswith(f"{part}.")), None)
            if shared is not None:
                found.add(shared)
                continue
            top = name.split(".")[0]
            if top not in OWN and top not in sys.stdlib_module_names and top != "__future__":
                found.add(canonicalize_name(distributions.get(top, [top])[0]))
    return found


def locked(name: str) -> dict[str, list[str]]:
    """Return the versions that a lock file gives to each distribution."""
    versions: dict[str, list[str]] = {}
    text = (ROOT / "requirements" / name).read_text("utf-8")
    for distribution, version in re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", text, re.MULTILINE):
        versions.setdefault(distribution, []).append(version)
    return versions


def test_what_the_program_imports_is_declared_and_nothing_else_is():
    """The declared dependencies are those that the program imports, and the few needed by name."""
    typing_only = {"typing-extensions"}
    needed = imported("streams") - typing_only
    assert needed - RUNTIME == set()
    assert RUNTIME - needed == set(RUNTIME_BY_NAME)


def test_what_the_tests_import_is_declared_and_nothing_else_is():
    """The development dependencies are what tests, tools and lab import, and what the recipes call."""
    needed = (imported("tests") | imported("tools") | imported("lab")) - RUNTIME
    assert needed - DEV == set()
    assert DEV - needed == set(DEV_BY_NAME)


@pytest.mark.parametrize("name", ["install.txt", "runtime.txt", "dev.txt"])
def test_a_lock_pins_and_hashes_everything_and_names_no_address(name):
    """Each requirement of a lock file is one version with a hash, and none is an address."""
    text = (ROOT / "requirements" / name).read_text("utf-8")
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    assert entries
    assert [entry for entry in entries if not re.match(r"[a-z0-9.\[\]-]+==\S+", entry)] == []
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert not re.search(r"://|^-|@ ", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("install.txt", PROJECT["dependency-groups"]["install"]),
        ("runtime.txt", PROJECT["project"]["dependencies"]),
        ("dev.txt", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]),
    ],
)
def test_the_locks_follow_what_is_declared(name, declared):
    """Each declared requirement is locked at a version that it allows."""
    versions = locked(name)
    for text in declared:
        wanted = Requirement(text)
        got = versions.get(canonicalize_name(wanted.name), [])
        assert got, f"{text} is not in requirements/{name}: make lock"
        assert all(wanted.specifier.contains(version) for version in got), f"{text} is locked at {got}"


def test_people_and_images_run_the_same_versions():
    """What both lock files hold, they hold at the same versions."""
    dev, runtime = locked("dev.txt"), locked("runtime.txt")
    assert {name: versions for name, versions in runtime.items() if dev.get(name) != versions} == {}


def test_the_oldest_python_is_the_same_everywhere():
    """The oldest Python is one and the same for the package, the checkers and the recipe."""
    oldest = "3.11"
    assert PROJECT["project"]["requires-python"] == f">={oldest}"
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"sys.version_info < ({oldest.replace('.', ', ')})" in makefile
    assert f"--python-version {oldest}" in makefile
