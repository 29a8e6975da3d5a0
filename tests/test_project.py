"""What stands around the code: workflows, forms, community files. Nothing in it may point to what is not there."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tap_genesys_search.cli import group
from tests.support.blocks import ROOT
from tests.support.pages import OPEN

if TYPE_CHECKING:
    from pathlib import Path

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION: str = PYPROJECT["project"]["version"]
NOTES = GITHUB / "scripts" / "release_notes.py"

Job = dict[str, Any]


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def document(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


JOBS: dict[str, Job] = {
    f"{path.stem}/{name}": job for path in WORKFLOWS for name, job in document(path)["jobs"].items()
}
COMMANDS = {name: "\n".join(step["run"] for step in job["steps"] if "run" in step) for name, job in JOBS.items()}


# Workflows


def test_there_are_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "nightly.yml", "release.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=where)
def test_a_workflow_may_nothing_by_itself(path: Path) -> None:
    found = document(path)
    assert found["permissions"] == {}
    # What was pushed to main is judged to the end; half a release is none.
    expected = {"ci.yml": "${{ github.event_name == 'pull_request' }}", "nightly.yml": True, "release.yml": False}
    assert found["concurrency"]["cancel-in-progress"] == expected[path.name]


@pytest.mark.parametrize("name", JOBS)
def test_a_job_has_little_time_and_few_permissions(name: str) -> None:
    job = JOBS[name]
    assert 1 <= job["timeout-minutes"] <= 120
    writes = {right for right, may in job["permissions"].items() if may != "read"}
    assert writes == {"release/publish": {"id-token"}, "release/announce": {"contents"}}.get(name, set())
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert "${{" not in step.get("run", ""), "a value goes into a command through the environment"


def test_only_a_job_that_runs_nothing_of_ours_may_publish() -> None:
    job = JOBS["release/publish"]
    assert job["environment"] == "pypi"
    assert [step["uses"].partition("@")[0] for step in job["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


def test_only_what_was_merged_and_tested_is_built() -> None:
    steps = JOBS["release/build"]["steps"]
    assert steps[0]["with"]["fetch-depth"] == 0
    commands = [step["run"] for step in steps if "run" in step]
    order = [
        commands.index(each)
        for each in (
            "git merge-base --is-ancestor HEAD origin/main",
            ".uv/bin/uv run pytest",
            ".uv/bin/uv build",
            ".uv/bin/uv run pytest -m slow tests/test_wheel.py",
        )
    ]
    assert order == sorted(order)
    assert JOBS["release/publish"]["needs"] == "build"


def test_a_release_waits_for_the_address_of_the_repository(tmp_path: Path) -> None:
    (command,) = (step["run"] for step in JOBS["release/build"]["steps"] if "OWNER" in step.get("run", ""))
    files = re.findall(r"\S+\.(?:md|yml)", command)
    assert len(files) == 3
    (tmp_path / "docs").mkdir()
    for owner, code in (("OWNER", 1), ("somebody", 0)):
        for name in files:
            (tmp_path / name).write_text(f"pip_url: git+https://github.com/{owner}/tap-genesys-search.git\n")
        assert subprocess.run(["bash", "-e", "-c", command], cwd=tmp_path, check=False).returncode == code  # noqa: S607 - whichever bash there is


def test_the_oldest_dependencies_are_tried_with_the_extras() -> None:
    """After the groups, which pin newer ones; nothing brings the groups' back."""
    first, install, tests = [
        step["run"] for step in JOBS["ci/test"]["steps"] if step.get("run", "").startswith(".uv/bin/uv ")
    ]
    assert "--no-sync" not in first
    assert install == ".uv/bin/uv pip install --upgrade -r pyproject.toml --all-extras"
    assert tests.startswith(".uv/bin/uv run --no-sync pytest tests/")
    conditions = [step["if"] for step in JOBS["ci/test"]["steps"] if "if" in step]
    assert conditions == ["matrix.resolution == 'lowest-direct'"] * 2
    assert JOBS["ci/test"]["env"]["UV_RESOLUTION"] == "${{ matrix.resolution }}"


def test_the_versions_of_python_are_those_that_are_promised() -> None:
    """The oldest of them is what the package requires, and what the oldest dependencies are tried with."""
    promised = [
        classifier.rpartition(" ")[2]
        for classifier in PYPROJECT["project"]["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", classifier)
    ]
    matrix = JOBS["ci/test"]["strategy"]["matrix"]
    assert matrix["python"] == promised
    assert PYPROJECT["project"]["requires-python"] == f">={promised[0]}"
    included = {(each["os"], each["resolution"]): each["python"] for each in matrix["include"]}
    assert included["ubuntu-latest", "lowest-direct"] == promised[0]
    assert included["macos-latest", "highest"] in promised


def test_the_demo_is_the_command_of_the_readme() -> None:
    demo, tests = re.findall(r"^python3 -m pip install .*$", read("README.md"), re.MULTILINE)
    assert COMMANDS["ci/demo"] == demo
    assert tests in read(".ci/run")


def test_whatever_the_script_runs_a_workflow_runs_too() -> None:
    # Some of the slow ones only nightly: there all of them.
    text = read(".ci/run").replace('"slow and not nightly"', "slow")
    script = re.findall(r"^\.uv/bin/uv run (.+?)(?: >.*| \|\| .*)?$", text, re.MULTILINE)
    assert len(script) >= 6
    lines = "\n".join(COMMANDS.values()).splitlines()
    assert [command for command in script if f".uv/bin/uv run {command}" not in lines] == []


def test_what_commands_name_is_there() -> None:
    """Files, and dependency groups."""
    text = "\n".join([*COMMANDS.values(), read(".ci/run")])
    paths = re.findall(r"(?<![\w/])(?:tests|\.github)/[\w./]+", text)
    assert len(paths) >= 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
    groups = {*re.findall(r"--(?:only-)?group (\S+)", text)}
    assert {"airflow", "release"} <= groups <= PYPROJECT["dependency-groups"].keys()


def test_tools_are_pinned_exactly() -> None:
    """So that no release of a tool breaks anything unasked."""
    entries = [entry for each in PYPROJECT["dependency-groups"].values() for entry in each if isinstance(entry, str)]
    assert len(entries) > 10
    assert [entry for entry in entries if "==" not in entry] == []


def test_updates_wait_a_week() -> None:
    updates = document(GITHUB / "dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "uv"}
    assert all(update["cooldown"]["default-days"] >= 7 for update in updates)


def test_hooks_need_no_download() -> None:
    (repository,) = document(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}


@pytest.mark.parametrize("place", [".uv/bin", "elsewhere"])
@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ("ruff-check", ["run", "ruff", "check", "--fix", "a.py", "b c.py"]),
        ("ruff-format", ["run", "ruff", "format", "a.py", "b c.py"]),
        ("mypy", ["run", "mypy"]),
    ],
)
def test_hooks_find_the_uv_of_the_clone_or_of_the_path(
    tmp_path: Path, place: str, identity: str, expected: list[str]
) -> None:
    """One that tells what it was given stands for it."""
    (repository,) = document(ROOT / ".pre-commit-config.yaml")["repos"]
    (hook,) = (each for each in repository["hooks"] if each["id"] == identity)
    files = ["a.py", "b c.py"] if hook.get("pass_filenames", True) else []
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (folder / "uv").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (folder / "uv").chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "elsewhere"), "/usr/bin", "/bin"])
    done = subprocess.run(
        [*shlex.split(hook["entry"]), *files],
        cwd=tmp_path,
        env={"PATH": path},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == expected


def test_whoever_asks_for_a_change_is_led_to_where_it_goes() -> None:
    """From the page of a pull request, /OWNER/NAME/pull/1, no path of the repository leads anywhere."""
    text = read(".github/pull_request_template.md")
    (target,) = re.findall(r"^\[where\]: (\S+)$", text, re.MULTILINE)
    assert "][where]" in text
    path, _, anchor = target.removeprefix("../blob/main/").partition("#")
    assert target.startswith("../blob/main/")
    assert f"\n## {anchor.replace('-', ' ').capitalize()}\n" in read(path)


# Forms


@pytest.mark.parametrize("path", FORMS, ids=where)
def test_a_form_can_be_filled_in(path: Path) -> None:
    form = document(path)
    assert form["name"]
    assert form["description"]
    fields = [each for each in form["body"] if each["type"] != "markdown"]
    identities = [each["id"] for each in fields]
    assert len(set(identities)) == len(identities)
    assert any(each.get("validations", {}).get("required") for each in fields)
    for each in fields:
        assert each["type"] in {"textarea", "input", "dropdown"}
        assert each["attributes"]["label"]
        # A bare yes or no would be no text.
        assert all(isinstance(option, str) for option in each["attributes"].get("options", []))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bug", ["genesys-search doctor", "FAILURE:", "SUMMARY:", "genesys-search --version"]),
        ("missing", ["genesys-search explain", "genesys-search audit", "meltano state get"]),
        ("feature", []),
    ],
)
def test_forms_ask_for_what_tells_most(name: str, words: list[str]) -> None:
    assert [path.stem for path in FORMS] == ["bug", "feature", "missing"]
    text = read(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("path", [*OPEN, *FORMS], ids=where)
def test_commands_that_are_named_exist(path: Path) -> None:
    named = set(re.findall(r"(?:[`$/]|uv run )\s*genesys-search ([a-z]+)\b", path.read_text(encoding="utf-8")))
    assert named <= set(group.list_commands(None))  # type: ignore[arg-type]


# Pages


@pytest.mark.parametrize(("name", "least"), [("CONTRIBUTING.md", 30), ("SECURITY.md", 1)])
def test_files_that_are_named_exist(name: str, least: int) -> None:
    named = re.findall(r"`((?:tap_genesys_search|tests|orchestrate)/[\w./]*|[\w-]+\.(?:toml|yml))`", read(name))
    assert len(named) >= least
    assert [path for path in named if not any((base / path).exists() for base in (ROOT, GITHUB / "workflows"))] == []


# Versions and releases


def test_versions_agree() -> None:
    """What is installed, what the project says, and the newest that the changelog knows."""
    assert version("tap-genesys-search") == VERSION
    text = read("CHANGELOG.md")
    first, *released = re.findall(r"^## \[([^\]]+)\](?: - \d{4}-\d{2}-\d{2})?$", text, re.MULTILINE)
    assert first == "Unreleased"
    unreleased = text.partition("## [Unreleased]\n")[2].partition("\n## ")[0]
    assert VERSION in released[:1] or f"will be {VERSION}.\n" in unreleased


CHANGELOG = """# Changelog

## [Unreleased]

### Added
- Later.

## [1.2.0] - 2026-12-01

### Fixed
- [A link](https://example.com), and [another].

## [1.1.0] - 2026-11-01

## [1.0.0] - 2026-10-01
- First.

[another]: https://example.com
"""


def notes(tag: str, number: str) -> str:
    found: str = runpy.run_path(str(NOTES))["notes"](tag, number, CHANGELOG)
    return found


def test_the_notes_of_a_release_are_its_section() -> None:
    assert notes("v1.2.0", "1.2.0") == "### Fixed\n- [A link](https://example.com), and [another].\n"
    assert notes("v1.0.0", "1.0.0") == "- First.\n"


@pytest.mark.parametrize(
    ("tag", "number", "says"),
    [
        ("v1.2.0", "1.2.1", "the tag v1.2.0 is not v1.2.1"),
        ("1.2.0", "1.2.0", "the tag 1.2.0 is not v1.2.0"),
        ("v1.1.0", "1.1.0", "says nothing of 1.1.0"),
        ("v1.2", "1.2", "says nothing of 1.2:"),
    ],
)
def test_a_release_without_notes_is_refused(tag: str, number: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        notes(tag, number)


def test_a_wrong_tag_ends_the_release_in_one_line() -> None:
    done = subprocess.run([sys.executable, str(NOTES), "v0.0.0"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"the tag v0.0.0 is not v{VERSION}, the version in pyproject.toml\n"


def test_no_test_imports_from_another_test() -> None:
    """What they share stands in tests/support."""
    pattern = re.compile(r"^\s*(?:from|import) tests\.(?:\w+\.)*test_\w+", re.MULTILINE)
    paths = (ROOT / "tests").rglob("*.py")
    assert [str(path) for path in paths if pattern.search(path.read_text(encoding="utf-8"))] == []


def test_whoever_leaves_a_rule_out_says_why() -> None:
    folders = ("tap_genesys_search", "tests", "benchmarks", "docs", "orchestrate")
    files = [path for name in folders for path in (ROOT / name).rglob("*.py") if ".meltano" not in path.parts]
    assert len(files) > 200
    bare = re.compile(r"#\s*(?:noqa|pragma)\b[^-\n]*$", re.MULTILINE)
    found = [f"{path.relative_to(ROOT)}: {each}" for path in files for each in bare.findall(path.read_text())]
    assert found == []
