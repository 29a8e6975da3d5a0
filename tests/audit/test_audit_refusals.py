"""The audit's command where it cannot go on: one line, and no half of a report or of a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tests.audit.auditor import Auditor, by_time
from tests.support.helpers import truth
from tests.support.outages import outage_after


@pytest.mark.parametrize(
    ("rows", "args", "what"),
    [
        ("b,2026-10-03\na,2026-10-02\n", (), "the export, line 2: '2026-10-02' comes after 2026-10-03T00:00:00.000Z"),
        ("", ("no/such.csv",), "no/such.csv cannot be read"),
        ("", ("--state", "no/such.json"), "the state file no/such.json cannot be read"),
        ("", ("--start", "soon"), "--start is 'soon'"),
        ("", ("--start", "2026-10-03", "--end", "2026-10-03"), "nothing to compare"),
        ("", ("--start", "2999-10-03"), "nothing to compare"),
        ("", ("--out", "no/such.csv"), "no/such.csv cannot be written"),
        ("", ("--out", ""), "the name of the file of --out is empty"),
        ("", ("--state", ""), "the name of the state file is empty"),
        ("", ("--quick", "--out", "x.csv"), "--quick knows no ids"),
        ("", ("--quick", "--start", "2999-10-03"), "nothing to compare"),
    ],
)
def test_what_is_wrong_is_one_line(audit: Auditor, rows: str, args: tuple[str, ...], what: str) -> None:
    done = audit(rows, *args)
    assert (done.code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("CRITICAL: ")
    assert what in line


@pytest.mark.parametrize(
    ("rows", "args", "more"),
    [
        ("b,2026-10-03\na,2026-10-02\n", (), {}),
        ("", ("no/such.csv",), {}),
        ("", ("--state", "no/such.json"), {}),
        ("", ("--start", "soon"), {}),
        ("", ("--start", "2999-10-03"), {}),
        ("", (), {"page_size": 0}),
        ("", (), {"query": "status:("}),
        ("", ("--quick",), {}),
    ],
    ids=["rows", "no export", "no state", "no start", "no range", "settings", "query", "quick"],
)
def test_an_audit_that_fails_leaves_no_file(
    audit: Auditor, rows: str, args: tuple[str, ...], more: dict[str, object]
) -> None:
    """Not even that of an earlier one: whoever looks at it next would take it for this one's."""
    out = audit.folder / "out.csv"
    assert audit("", "--look-ups", "0", "--out", str(out)).code == 1
    assert len(audit.findings()) == len(truth(audit.server))
    done = audit(rows, "--out", str(out), *args, **more)
    assert (done.code, done.stdout, done.stderr[:9]) == (1, "", "CRITICAL:")
    assert [path.name for path in audit.folder.iterdir()] == ["config.json"]


@pytest.mark.parametrize("which", ["rows.csv", "state.json", "config.json", "link.csv"])
def test_what_is_read_is_not_replaced_by_the_findings(audit: Auditor, which: str) -> None:
    path = audit.folder / "rows.csv"
    path.write_text("a,2026-10-03\n")
    (audit.folder / "link.csv").symlink_to(path)
    state = audit.state({"bookmarks": {"conversations": {"replication_key_value": "2026-10-03"}}})
    audit.config()
    named = audit.folder / ".." / audit.folder.name / which
    before = named.read_text()
    done = audit("", str(path), "--state", state, "--out", str(named))
    assert (done.code, done.stdout) == (1, "")
    assert "would replace" in done.stderr
    assert named.read_text() == before


@pytest.mark.parametrize(
    ("script", "out"),
    [
        ('exec "$@" < "$D/rows.csv"', "rows.csv"),
        ('exec "$@" "$D/out.csv.part"', "out.csv"),
        ('exec "$@" > "$D/report"', "report"),
        ('exec "$@"', "loop"),
    ],
    ids=["standard input", "its part", "the report", "a loop of links"],
)
def test_nor_is_what_is_read_under_another_name(audit: Auditor, script: str, out: str) -> None:
    for name in ("rows.csv", "out.csv.part"):
        (audit.folder / name).write_text("a,2026-10-03\n")
    (audit.folder / "loop").symlink_to(audit.folder / "loop")
    done = audit.apart("", "--out", str(audit.folder / out), script=f'D="{audit.folder}"; {script}')
    assert done.code == 1
    (line,) = done.stderr.splitlines()
    assert "would replace" in line or "its links lead nowhere" in line
    assert (audit.folder / "rows.csv").read_text() == (audit.folder / "out.csv.part").read_text() == "a,2026-10-03\n"


def test_a_link_and_a_pipe_stay_what_they_are(audit: Auditor) -> None:
    """A device, too: --out /dev/null is no reason to replace it."""
    link, real, pipe = (audit.folder / name for name in ("link.csv", "out.csv", "pipe"))
    link.symlink_to(real)
    os.mkfifo(pipe)
    assert audit("", "--look-ups", "0", "--out", str(link)).code == 1
    assert link.is_symlink()
    expected = audit.findings()
    assert len(expected) == len(truth(audit.server))
    script = f'cat "{pipe}" > "{real}" & "$@"; code=$?; wait; exit $code'
    assert audit.apart("", "--look-ups", "0", "--out", str(pipe), script=script).code == 1
    assert pipe.is_fifo()
    assert audit.findings() == expected
    assert audit("b,2026-10-03\na,2026-10-02\n", "--out", "/dev/null").code == 1
    assert Path("/dev/null").is_char_device()


def test_nobody_writes_to_a_standard_input_that_is_closed(audit: Auditor) -> None:
    done = audit.apart("", script='exec "$@" <&-')
    assert (done.code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("CRITICAL: nothing is piped in")


def test_a_source_that_fails_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and no half of a report or of a file."""
    with SandboxServer(WorldConfig(conversations=3_000)) as server:
        asked = outage_after(5, server, monkeypatch)
        audit = Auditor(tmp_path, server)
        rows = "".join(f"{identity},{stamp}\n" for identity, stamp in sorted(truth(server).items(), key=by_time))
        done = audit.apart(rows, "--out", str(tmp_path / "out.csv"), page_size=50, max_retries=0)
    assert len(asked) >= 5
    assert (done.code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("CRITICAL: ")
    assert "try again later" in line
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell sets the limit")
def test_a_disk_that_is_full_is_one_line(audit: Auditor) -> None:
    """The temporary file's, and that of the findings."""
    foreign = "".join(f"{'x' * 60}{number:09},2026-10-03\n" for number in range(60_000))
    for more in ((), ("--out", str(audit.folder / "out.csv"))):
        kilobytes = 8 if more else 256
        rows = "".join(foreign.splitlines(keepends=True)[:500]) if more else foreign
        done = audit.apart(
            rows, "--look-ups", "0", *more, script=f'ulimit -f {kilobytes}; PYTHONDONTWRITEBYTECODE=1 exec "$@"'
        )
        assert (done.code, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("CRITICAL: ")
        assert ("out.csv" if more else "TMPDIR") in line
        assert [path.name for path in audit.folder.iterdir()] == ["config.json"]


def test_whoever_reads_the_report_may_leave(audit: Auditor) -> None:
    """No traceback where the report goes into a pipe that nobody reads any more."""
    done = audit.apart("", "--look-ups", "0", "--all-days", script='"$@" | true; exit "${PIPESTATUS[0]}"')
    assert done.stderr == ""
    assert done.code == 1


def test_a_state_of_another_source_or_none_is_refused(audit: Auditor) -> None:
    stamp = "2026-11-01T00:00:00.000Z"
    for entry, what in (
        ({"replication_key_value": stamp, "source": "another"}, "written for another"),
        ({}, "holds no bookmark"),
    ):
        done = audit("", "--state", audit.state({"bookmarks": {"conversations": entry}}))
        assert (done.code, done.stdout) == (1, "")
        assert what in done.stderr
