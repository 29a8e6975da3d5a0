"""What is published: what is in it, and that it works where nothing else is.

``DIST=dist pytest -m slow tests/test_wheel.py`` looks at packages that are there already, such as those of a release.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tests.support.helpers import Run, config_for, environment, truth

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAME = f"tap_genesys_search-{PROJECT['project']['version']}"
UV = str(Path(sys.executable).with_name("uv"))

pytestmark = pytest.mark.slow


def uv(*arguments: str) -> str:
    done = subprocess.run(
        [UV, *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    if given := os.environ.get("DIST"):
        return ROOT / given
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--out-dir", str(folder))
    return folder


@pytest.fixture(scope="module")
def programs(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of the wheel lie, in an environment that has only what it asks for."""
    home = tmp_path_factory.mktemp("empty") / "venv"
    uv("venv", "--python", sys.executable, str(home))
    uv("pip", "install", "--python", str(home / "bin" / "python"), str(dist / f"{NAME}-py3-none-any.whl"))
    return home / "bin"


def call(folder: Path, program: Path, *arguments: str) -> Run:
    done = subprocess.run(
        [str(program), *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def test_there_is_one_of_each(dist: Path) -> None:
    found = {path.name for path in dist.iterdir() if not path.name.startswith(".")}
    assert found == {f"{NAME}.tar.gz", f"{NAME}-py3-none-any.whl"}


def test_the_package_index_would_take_them(dist: Path) -> None:
    """The description can be drawn, too."""
    packages = [str(path) for path in dist.glob(f"{NAME}*")]
    said = uv("run", "--isolated", "--only-group", "release", "twine", "check", "--strict", *packages)
    assert said.count("PASSED") == len(packages) == 2


def test_the_wheel_holds_the_package_and_nothing_else(dist: Path) -> None:
    source = ROOT / "tap_genesys_search"
    package = {
        path.relative_to(ROOT).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    about = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    with zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl") as wheel:
        assert set(wheel.namelist()) == package | {f"{NAME}.dist-info/{name}" for name in about}
    assert "tap_genesys_search/py.typed" in package


def test_the_sdist_holds_what_it_names(dist: Path) -> None:
    named = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    with tarfile.open(dist / f"{NAME}.tar.gz") as sdist:
        names = {name.removeprefix(f"{NAME}/").partition("/")[0] for name in sdist.getnames()}
        held = sdist.getnames()
    # The builder adds the last three by itself.
    assert names == {name.strip("/") for name in named} | {".gitignore", "PKG-INFO", "pyproject.toml"}
    assert not [name for name in held if "__pycache__" in name or Path(name).name in {".env", "uv.lock"}]


def test_it_brings_no_extra(programs: Path) -> None:
    found = json.loads(uv("pip", "list", "--python", str(programs / "python"), "--format", "json"))
    installed = {each["name"] for each in found}
    assert {"tap-genesys-search", "singer-sdk"} <= installed
    extras = PROJECT["project"]["optional-dependencies"].values()
    names = {re.split(r"[\[<>=!~; ]", requirement)[0] for extra in extras for requirement in extra}
    assert {"redis", "starlette"} <= names
    assert installed & (names | {"meltano", "pytest"}) == set()


def test_it_says_what_it_is(programs: Path, tmp_path: Path) -> None:
    run = call(tmp_path, programs / "tap-genesys-search", "--about", "--format=json")
    assert (run.code, run.stderr) == (0, "")
    assert json.loads(run.stdout)["version"] == PROJECT["project"]["version"]


def test_it_reads_everything(programs: Path, tmp_path: Path) -> None:
    with SandboxServer(WorldConfig(conversations=3_000)) as server:
        (tmp_path / "config.json").write_text(json.dumps(config_for(server)))
        run = call(tmp_path, programs / "tap-genesys-search", "--config", "config.json")
        assert run.code == 0, run.stderr
        assert run.table == truth(server)
    assert sum(line.startswith('{"type":"RECORD"') for line in run.lines) == 3_000


def test_the_sandbox_says_which_extra_it_needs(programs: Path, tmp_path: Path) -> None:
    run = call(tmp_path, programs / "genesys-search", "sandbox")
    assert (run.code, run.stdout) == (1, "")
    (line,) = run.stderr.splitlines()
    assert 'pip install "tap-genesys-search[sandbox]"' in line
