"""What a reader who set out to break the tap has found once, so that it is found again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import backoff
import pytest

from tap_genesys_search import ConversationSearchClient, GenesysAuth, timestamps
from tap_genesys_search.errors import PlatformUnavailableError, RateLimitError
from tap_genesys_search.pagination import SeekCursor
from tap_genesys_search.question import Axis, Question
from tap_genesys_search.rate_limit import RateBudget
from tap_genesys_search.sandbox import Client, Faults, SandboxServer, WorldConfig
from tests.support.fakes import FakeClock
from tests.support.helpers import CLIENT, FAST, SECRET
from tests.support.index import SortedIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

WORLD = WorldConfig(seed=5, conversations=3_000, days=5)


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    """A platform to be made worse."""
    with SandboxServer(WORLD, Faults(total_noise=0), clients=[Client()]) as started:
        yield started


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once; what they wait for is tested elsewhere."""
    monkeypatch.setattr("tap_genesys_search.retry.backoff.expo", lambda **_: backoff.constant(0.01))


def client_of(server: SandboxServer, **settings: Any) -> ConversationSearchClient:
    """Return a client without a rate limit to speak of."""
    return ConversationSearchClient(
        GenesysAuth(CLIENT, SECRET, server.base_url), server.base_url, **{"requests_per_minute": FAST, **settings}
    )


def test_a_sort_that_is_ignored_does_not_shorten_a_reading_downwards(server: SandboxServer) -> None:
    """The oldest record is a hint for widths; what lies beyond it is asked for."""
    server.faults.merge({"ignore_sort": True})
    with client_of(server, concurrency=4) as client:
        found = [each["id"] for each in client.stream_conversations(end="2100-01-01")]
    assert sorted(found) == sorted(server.truth())


def test_a_reading_downwards_to_the_beginning_is_whole(server: SandboxServer) -> None:
    """With the edge asked for, and more workers than one."""
    with client_of(server, concurrency=4, slice_records=300) as client:
        found = [each["id"] for each in client.stream_conversations(end="2100-01-01")]
    assert sorted(found) == sorted(server.truth())


@pytest.mark.usefixtures("hasty")
def test_a_narrowed_question_keeps_its_retries_for_other_faults(server: SandboxServer) -> None:
    """One try is for time-outs; a connection that drops has nothing to do with the width of the range."""
    server.faults.merge({"timeout_above_seconds": 6 * 3600, "p_drop": 0.1, "seed": 3})
    with client_of(server, max_retries=5, concurrency=1, page_size=50) as client:
        found = [each["id"] for each in client.stream_conversations(end="2100-01-01", newest_first=False)]
    assert sorted(found) == sorted(server.truth())


@pytest.mark.usefixtures("hasty")
def test_a_width_that_was_found_is_not_paid_for_again(server: SandboxServer) -> None:
    """After the first time-outs each wider question has one try."""
    server.faults.merge({"timeout_above_seconds": 6 * 3600})
    with client_of(server, max_retries=3, concurrency=1) as client:
        assert list(client.stream_conversations(start="2000-01-01", end="2100-01-01", newest_first=False))
    # The first question has all its tries, a halving or a doubling one each.
    assert server.stats["status_504"] <= 4 + 6 + server.stats["status_200"]


def test_a_time_out_of_a_narrowed_question_is_final_at_once() -> None:
    """Its cursor goes on narrower."""
    cursor = SeekCursor(0, 1_000_000)
    assert not cursor.question().single_try
    narrowed = cursor.narrowed()
    assert narrowed is not None
    assert narrowed.question().single_try


def test_a_platform_whose_clock_is_behind_gives_nothing_twice() -> None:
    """The last look begins at the run's start by the earlier clock, and so does what it leaves out."""
    with SandboxServer(WORLD, Faults(clock_offset_seconds=-3600)) as server, client_of(server) as client:
        keys = [(each["id"], each["timestamp"]) for each in client.stream_conversations()]
    assert len(keys) == len(set(keys))
    assert len(keys) == len(server.truth())


def test_a_window_of_hours_is_a_wait_like_any_other() -> None:
    """Its pace may be one request in half a day."""
    budget = RateBudget(300, FakeClock())
    budget.acquire(lambda _: None, 600)
    budget.release()
    budget.observe({"inin-ratelimit-count": "298", "inin-ratelimit-allowed": "300", "inin-ratelimit-reset": "86400"})
    with pytest.raises(RateLimitError, match="max_wait_seconds"):
        budget.acquire(lambda _: pytest.fail("it must not wait"), 600)


def test_the_open_end_lies_behind_all_timestamps() -> None:
    """The year 9999 stands for never in many systems."""
    stamp = timestamps.parse("9999-12-31T23:59:59.999Z")
    assert timestamps.BEGIN < timestamps.parse("0001-01-01") < stamp < timestamps.END
    question = Question(timestamps.BEGIN, timestamps.END, Axis.NEWEST_FIRST)
    assert question.range_text == "[* TO *]"
    batch, after = SeekCursor(0, timestamps.END).advance(SortedIndex([stamp]).answer(Question(0, timestamps.END)))
    assert batch.stamps == ["9999-12-31T23:59:59.999Z"]
    assert after is None


def test_slices_are_never_smaller_than_a_page(server: SandboxServer) -> None:
    """Each would cost a search of its own."""
    with client_of(server, concurrency=4, slice_records=1) as client:
        assert len(list(client.stream_conversations(end="2100-01-01", newest_first=False))) == WORLD.conversations
    assert server.stats["searches"] <= 3 * WORLD.conversations / 200


def tap(*arguments: str, stdout: int | Any = subprocess.DEVNULL) -> tuple[int, str]:
    """Run the tap; return its exit code and its log."""
    command = [sys.executable, "-m", "tap_genesys_search", *arguments]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stderr.decode()


GOOD = {"client_id": CLIENT, "client_secret": SECRET, "requests_per_minute": FAST}
MAP = {"conversations": {"x": "nonsense(("}}
CALL = {"conversations": {"x": "id.foo()"}}


@pytest.mark.parametrize(
    ("name", "config", "more"),
    [
        ("a folder", None, []),
        ("not UTF-8", b"\xff\xfe{}", []),
        ("a text", b'"x"', []),
        ("a list", b"[1]", []),
        ("no JSON", b"{", []),
        ("a catalog that is a list", GOOD, ["--catalog", "[]"]),
        ("a state that is not UTF-8", GOOD, ["--state", b"\xff"]),
        ("a map that is no expression", GOOD | {"stream_maps": MAP}, []),
        ("a map that fails", GOOD | {"stream_maps": CALL}, []),
        ("a batch of another format", GOOD | {"batch_config": {"encoding": {"format": "csv"}}}, []),
    ],
)
def test_a_file_that_is_not_what_it_should_be(
    name: str,
    config: Any,
    more: list[Any],
    tmp_path: Path,
    server: SandboxServer,
) -> None:
    """One line, the code of a setting, no traceback."""
    assert name
    path = tmp_path
    if config is not None:
        path = tmp_path / "config.json"
        whole = config if isinstance(config, bytes) else json.dumps({**config, "base_url": server.base_url}).encode()
        path.write_bytes(whole)
    arguments = ["--config", str(path)]
    if more:
        (tmp_path / "other").write_bytes(more[1] if isinstance(more[1], bytes) else more[1].encode())
        arguments += [more[0], str(tmp_path / "other")]
    code, log = tap(*arguments)
    assert code == 78, log
    assert log.count("CRITICAL") == 1, log
    assert "Traceback" not in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path, server: SandboxServer) -> None:
    """What was written before stands."""
    (tmp_path / "config.json").write_text(json.dumps(GOOD | {"base_url": server.base_url}))
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        code, log = tap("--config", str(tmp_path / "config.json"), stdout=full)
    assert code == 75, log
    assert "the output cannot be written (No space left on device)" in log
    assert log.count("CRITICAL") == 1
    assert "Traceback" not in log


def test_a_single_question_that_is_refused_ends_after_its_retries(server: SandboxServer) -> None:
    """Nothing of the above makes an outage endless."""
    server.faults.merge({"outage": True})
    with client_of(server, max_retries=0) as client, pytest.raises(PlatformUnavailableError):
        client.glimpse()
