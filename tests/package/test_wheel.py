"""The wheel, installed where there is no checkout."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from console_blocks import Console
from source_tree import ROOT, tracked_texts
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

from tools.command_docs import leaves


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Return the wheel, built from this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """Return a folder of packages that holds the wheel alone; the dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the installed wheel in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "110"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_only_our_package_stands_at_the_top(wheel):
    """The wheel adds `streams` and its metadata to site-packages, and no other name."""
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"streams", f"portallink-{version('portallink')}.dist-info"}


def test_neither_tools_nor_laboratory_nor_tests_are_in_it(wheel):
    """Every file of the wheel is product code, a resource of it, or metadata."""
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.startswith(("tools/", "lab/", "tests/"))] == []
    shipped = {name.removeprefix("streams/files/") for name in names if name.startswith("streams/files/")}
    expected = {name for name in tracked_texts() if name.startswith(("schemas/", "deploy/", "grafana/"))}
    assert shipped == expected


def test_the_commands_version_is_the_packages(site, tmp_path):
    """`portallink --version` prints the version of the wheel's metadata."""
    assert run(site, tmp_path, "--version").stdout == f"portallink {version('portallink')}\n"
    where = run_python(site, tmp_path, "import streams; print(streams.__file__)")
    assert Path(where).is_relative_to(site)


def run_python(site: Path, folder: Path, code: str) -> str:
    """Return what Python prints with the wheel's package first on its path."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_every_command_loads_without_a_checkout(site, tmp_path):
    """Each command's module and options load from the wheel."""
    paths = [path.split() for path, *_ in leaves()]
    assert len(paths) > 20
    code = (
        "import sys, json\n"
        "from typer.testing import CliRunner\n"
        "from streams.cli import app\n"
        f"for path in {paths!r}:\n"
        "    done = CliRunner().invoke(app, [*path, '--help'])\n"
        "    assert done.exit_code == 0, (path, done.output)\n"
        "print(sum(name.startswith('streams') for name in sys.modules))\n"
    )
    assert int(run_python(site, tmp_path, code)) > 50


def test_rules_dashboards_and_topics_come_with_the_wheel(site, tmp_path):
    """In an empty folder `watch rules`, `watch export` and `topics asyncapi` write the checkout's files."""
    done = run(site, tmp_path, "watch", "rules", "--out", "made", "--json")
    assert done.returncode == 0, done.stderr
    for name in json.loads(done.stdout)["files"]:
        inside = Path(name).relative_to("made")
        assert (tmp_path / name).read_text("utf-8") == (ROOT / "deploy" / inside).read_text("utf-8")
    done = run(site, tmp_path, "watch", "export", "all", "--json")
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)["files"]
    assert "grafana/dashboards/portallink-overview.json" in files
    assert "deploy/compose.yaml" in files
    assert {(ROOT / name).read_bytes() == (tmp_path / "all" / name).read_bytes() for name in files} == {True}
    again = run(site, tmp_path, "watch", "export", "all")
    assert again.returncode == 2
    assert "all is not an empty folder" in again.stderr
    assert run(site, tmp_path, "topics", "asyncapi").stdout == (ROOT / "schemas/asyncapi.yaml").read_text(
        "utf-8"
    )


@pytest.mark.slow
def test_the_readme_can_be_followed_from_the_wheel(site, tmp_path):
    """Each console command of the README does from the wheel what the README shows."""
    parser = CodeBlockParser(language="console", evaluator=Console(tmp_path, site))
    examples = list(Sybil([parser], path=str(ROOT)).parse(ROOT / "README.md").examples())
    assert examples
    for example in examples:
        example.evaluate()
