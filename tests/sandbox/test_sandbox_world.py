"""The world: its seed, its size, its movement, and the truth about it."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search.sandbox import Faults, Movement, SandboxServer, World, WorldConfig
from tap_genesys_search.sandbox.instants import DAY, HOUR, iso, millis
from tap_genesys_search.sandbox.platform import Platform
from tap_genesys_search.sandbox.query import Query, read

if TYPE_CHECKING:
    from .api import Api
    from .conftest import Sandbox

START, END = "2026-10-01T00:00:00.000Z", "2026-10-08T00:00:00.000Z"


class Clock:
    """Milliseconds that pass only when told."""

    def __init__(self, at: str = END) -> None:
        self.at = millis(at)

    def __call__(self) -> int:
        return self.at


def make(clock: Clock | None = None, movement: Movement | None = None, **config: Any) -> World:
    settings = {"conversations": 1_000, "start": START, "end": END, **config}
    return World(WorldConfig(**settings), movement or Movement(), clock or Clock())


def content(world: World) -> list[bytes]:
    return [record.raw for record in world.truth()]


@pytest.mark.parametrize("count", [0, 1, 7, 999, 20_000])
@pytest.mark.parametrize("start", [START, "2026-10-07T23:30:00Z", "2026-07-01T12:34:56.789Z"])
def test_the_number_is_exact(count: int, start: str) -> None:
    world = make(conversations=count, start=start)
    records = world.truth()
    assert len(world.index) == len(records) == len({record.id for record in records}) == count
    assert all(millis(start) <= record.timestamp < millis(END) for record in records)


def test_the_same_seed_makes_the_same_world() -> None:
    assert content(make(seed=3)) == content(make(seed=3))
    assert content(make(seed=3)) != content(make(seed=4))


def test_the_order_of_looking_changes_nothing() -> None:
    looked_at = make(conversations=5_000)
    for day in ("2026-10-06", "2026-10-02"):
        low = millis(day)
        looked_at.index.page(None, low, low + DAY, start=0, size=10, descending=False, order=0)
    assert content(looked_at) == content(make(conversations=5_000))


def test_a_million_conversations_are_invented_when_they_are_looked_at(sandbox: Sandbox) -> None:
    server, api = sandbox(conversations=1_000_000, faults=Faults(total_noise=0))
    assert server.world.generated == 0
    page = api.search("(*) AND timestamp:[2026-10-02T10:00:00.000Z TO 2026-10-03T00:00:00.000Z}")
    assert len(page["results"]) == 200
    assert 0 < server.world.generated < 20_000
    assert api.search("(*) AND timestamp:[* TO 2026-10-08T00:00:00.000Z}", size=1)["total"] == 1_000_000
    assert server.world.generated < 20_000


def test_there_are_busy_and_quiet_hours_weekends_and_a_busy_day() -> None:
    stamps = [record.timestamp for record in make(conversations=20_000).truth()]
    hours = Counter(stamp % DAY // HOUR for stamp in stamps)
    assert hours[10] > 10 * hours[3]
    days = Counter(datetime.fromisoformat(iso(stamp)).strftime("%a") for stamp in stamps)
    assert days["Tue"] > 2 * days["Sun"]
    busy = [record.timestamp for record in make(conversations=20_000, busy_day="2026-10-04").truth()]
    assert sum(iso(stamp).startswith("2026-10-04") for stamp in busy) > 2 * days["Sun"]


def test_records_have_a_size_and_ties_when_told() -> None:
    world = make(record_bytes=10_000, tie_share=0.5)
    assert {len(raw) for raw in content(world)} == {10_000}
    counted = Counter(record.timestamp for record in world.truth())
    assert 300 < sum(count for count in counted.values() if count > 1) < 1_000
    assert not [count for count in Counter(record.timestamp for record in make().truth()).values() if count > 2]
    assert all(json.loads(raw)["type"] == "conversation" for raw in content(make(record_bytes=1_000)))


def test_bursts_share_one_millisecond() -> None:
    world = make(conversations=51_000, bursts=((START, 50_000), (END.replace("08", "05"), 10)))
    counted = Counter(record.timestamp for record in world.truth())
    assert counted[millis(START)] >= 50_000
    assert len(world.index) == 51_000


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"bursts": ((START, 2_000),)}, "more than all"),
        ({"bursts": ((END, 1),)}, "bursts: .* is not between"),
        ({"start": END}, "start must be before end"),
        ({"start": "2026-10-09"}, "start must be before end"),
        ({"start": "1900-01-01"}, "by 36,525 days at most, not 1900-01-01"),
        ({"start": "yesterday"}, "start must be an instant .*, not 'yesterday'"),
        ({"end": "99999999999999999999"}, "end must be an instant"),
        ({"end": "0001-01-02", "start": None}, "end must be an instant"),
        ({"busy_day": "someday"}, "busy_day must be an instant .*, not 'someday'"),
        ({"bursts": (("then", 1),)}, "bursts must be an instant .*, not 'then'"),
        ({"bursts": ((START, -1),)}, "bursts must be from 0 to"),
        ({"tie_share": 2}, "tie_share must be from 0 to 1, not 2"),
        ({"tie_orders": -1}, "tie_orders must be from 0 to"),
        ({"conversations": -1}, "conversations must be from 0 to"),
        ({"record_bytes": -1}, "record_bytes must be from 0 to"),
        ({"days": math.nan}, "days must be from 0 to 36,525, not nan"),
        ({"days": 100_000}, "days must be from 0 to 36,525, not 100000"),
        ({"busy_factor": 0}, "busy_factor must be from 0.001 to"),
    ],
)
def test_a_world_that_cannot_be_is_refused(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make(**config)


def test_a_change_moves_a_record_to_now() -> None:
    clock = Clock()
    world = make(clock)
    before = {record.id: record for record in world.truth()}
    clock.at += 5_000
    world.move(change=1)
    (new,) = [record for record in world.truth() if record is not before[record.id]]
    assert (new.version, new.timestamp, new.changed_at) == (2, clock.at, clock.at)
    assert json.loads(new.raw)["timestamp"] == iso(clock.at)
    assert json.loads(new.raw)["fields"] != json.loads(before[new.id].raw)["fields"]
    assert len(world.index) == 1_000
    assert not world.stood(new)
    assert world.stood(next(record for record in world.truth() if record.id != new.id))


def test_versions_of_one_record_never_share_a_timestamp() -> None:
    world = make(conversations=1)
    seen = set()
    for _ in range(50):
        world.move(change=1)
        (record,) = world.truth()
        seen.add(record.timestamp)
    assert len(seen) == 50
    assert record.version == 51


def test_records_arrive_and_leave() -> None:
    world = make()
    before = {record.id for record in world.truth()}
    world.move(arrive=5, leave=20)
    after = {record.id for record in world.truth()}
    assert len(after - before) + len(before - after) in range(15, 26)
    assert len(after) == 985
    assert (world.counts["arrived"], world.counts["left"]) == (5, 20)


def test_late_records_show_after_their_timestamp() -> None:
    clock = Clock()
    world = make(clock, Movement(late_max_seconds=5))
    world.move(late=10)
    made = [record for record in world.truth(everything=True) if record.timestamp == clock.at]
    assert len(made) == 10
    assert len(world.truth()) < 1_010
    assert all(0 <= record.visible_at - record.timestamp <= 5_000 for record in made)
    clock.at += 2_500
    half = {record.id for record in world.truth()} & {record.id for record in made}
    assert half == {record.id for record in made if record.visible_at <= clock.at}
    clock.at += 2_500
    assert len(world.truth()) == 1_010
    assert world.counts["late_shown"] == 10


def test_late_records_may_appear_anywhere() -> None:
    world = make(movement=Movement(late_in_range=True))
    world.move(late=50)
    late = [record for record in world.truth() if record.visible_at > record.timestamp]
    assert len(late) == 50
    assert len({record.timestamp // DAY for record in late}) > 4
    assert not any(world.stood(record) for record in late if record.visible_at > world.born)


def test_late_changes_keep_the_old_version_until_they_show() -> None:
    clock = Clock()
    world = make(clock, Movement(late_changes=1))
    clock.at += 1_000
    world.move(change=30)
    waiting = len([record for record in world.truth(everything=True) if record.version == 2])
    assert waiting == 30
    assert len(world.truth()) == 1_000
    clock.at += 5_000
    records = world.truth()
    assert len(records) == len({record.id for record in records}) == 1_000
    assert world.counts["moved"] == len([record for record in records if record.version == 2]) > 20


def test_movement_by_time_follows_the_clock() -> None:
    clock = Clock()
    rates = Movement(arrive_per_second=2, change_per_second=3, late_per_second=1, leave_per_second=0.5)
    world = make(clock, rates)
    clock.at += 10_000
    world.truth()
    assert world.counts | {"late_shown": 0} == {
        "arrived": 20,
        "moved": 30,
        "late_made": 10,
        "late_shown": 0,
        "left": 5,
    }
    assert all(record.timestamp <= clock.at for record in world.truth(everything=True))
    clock.at -= 60_000
    world.truth()
    assert world.counts["arrived"] == 20


@pytest.mark.parametrize("offset", [-3_600.0, 3_600.0])
def test_movement_takes_the_same_time_when_the_platform_s_clock_is_set(offset: float) -> None:
    seconds = millis(END) / 1_000
    faults = Faults()
    movement = Movement(arrive_per_second=20, late_per_second=1, late_max_seconds=5)
    platform = Platform(WorldConfig(conversations=10, start=START, end=END), faults, movement, clock=lambda: seconds)
    world = platform.world
    arrived = []
    for step in range(1, 12):
        faults.clock_offset_seconds = offset * (step > 1)
        seconds += 1
        world.truth()
        arrived.append(world.counts["arrived"])
    assert arrived == [20 * step for step in range(1, 12)]
    # What was late when the clock was set shows as late as it was to be.
    assert 6 <= world.counts["late_shown"] <= 11
    newest = max(world.truth(), key=lambda record: record.changed_at)
    assert newest.timestamp <= world.now() or offset < 0
    assert world.now() == int((seconds + offset) * 1_000)


def test_movement_by_search_comes_before_the_answer(sandbox: Sandbox) -> None:
    server, api = sandbox(movement=Movement(move_every_search=2.5, arrive_every_search=1, leave_every_search=1))
    for _ in range(40):
        api.search(size=1)
    assert server.stats["arrived"] == 40
    assert server.stats["left"] == 40
    assert 80 < server.stats["moved"] < 120
    assert len(server.truth()) == 1_000


def test_following_tokens_loses_records_while_data_moves(sandbox: Sandbox) -> None:
    server, api = sandbox(conversations=4_000, movement=Movement(move_every_search=2))
    seen = set(api.all_ids(f"(*) AND timestamp:[* TO {END}}}"))
    stood = {name for name, (_, version) in server.truth().items() if version == 1}
    assert stood - seen


def _seek(api: Api) -> set[str]:
    seen: set[str] = set()
    last = START
    while True:
        page = api.search(f"(*) AND timestamp:[{last} TO {END}}}")
        seen |= {record["id"] for record in page["results"]}
        if "nextPage" not in page:
            return seen
        last = page["results"][-1]["timestamp"]


def test_seeking_loses_none(sandbox: Sandbox) -> None:
    server, api = sandbox(conversations=4_000, movement=Movement(move_every_search=2))
    seen = _seek(api)
    assert {name for name, (_, version) in server.truth().items() if version == 1} <= seen


def test_the_same_seed_moves_the_same_way() -> None:
    def course(seed: int) -> list[bytes]:
        clock = Clock()
        world = make(clock, Movement(change_per_second=5, late_per_second=2, leave_per_second=1), seed=seed)
        for _ in range(20):
            clock.at += 333
            world.search(Query(), by_id=False, descending=False, start=0, size=10)
        return content(world)

    assert course(1) == course(1)
    assert course(1) != course(2)


def test_quiet_shows_all_and_stops(sandbox: Sandbox) -> None:
    server, api = sandbox(movement=Movement(late_every_search=3, late_max_seconds=600, arrive_per_second=0.01))
    for _ in range(5):
        api.search()
    assert len(server.truth(everything=True)) == len(server.truth()) + 15
    api.admin("quiet", {})
    assert not any((*server.movement.by_second(), *server.movement.by_search()))
    held = server.truth()
    assert len(held) == 1_015
    assert all(record.visible_at <= server.world.now() for record in server.world.truth())
    api.search()
    assert server.truth() == held == server.truth(everything=True)


def test_truth_tells_what_a_search_finds(sandbox: Sandbox) -> None:
    server, api = sandbox(movement=Movement(late_max_seconds=600))
    assert api.admin("move", {"arrive": 3, "change": 4, "late": 5, "leave": 6})["moved"] == 4

    def truth(parameters: dict[str, str]) -> dict[str, Any]:
        answer = api.session.get(f"{api.base_url}/admin/truth", params=parameters, timeout=5)
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        return {line["id"]: line for line in map(json.loads, answer.iter_lines())}

    told = truth({})
    assert set(told) == set(api.all_ids()) == set(server.truth())
    assert Counter(line["version"] for line in told.values())[2] in (3, 4)
    assert all(
        set(line) == {"id", "timestamp", "version", "visible_at", "changed_at", "stood"} for line in told.values()
    )
    assert len(truth({"all": "1"})) == len(told) + 5
    voice = truth({"query": "channelType:voice"})
    assert set(voice) == set(api.all_ids("channelType:voice"))
    assert 0 < len(voice) < len(told)
    assert len(server.truth("channelType:voice", everything=True)) >= len(voice)
    wrong = api.session.get(f"{api.base_url}/admin/truth", params={"query": "("}, timeout=5)
    assert wrong.status_code == 400


@pytest.mark.parametrize("body", [{"fly": 1}, {"arrive": -1}, {"arrive": "1"}, {"arrive": True}])
def test_a_wrong_move_is_refused(sandbox: Sandbox, body: dict[str, object]) -> None:
    server, api = sandbox()
    assert api.session.post(f"{api.base_url}/admin/move", json=body, timeout=5).status_code == 400
    assert server.stats["arrived"] == 0


def test_movement_changes_by_the_admin_route(sandbox: Sandbox) -> None:
    server, api = sandbox()
    assert api.admin("movement", {"move_every_search": 1})["move_every_search"] == 1
    api.search()
    assert server.stats["moved"] == 1
    for wrong in (
        {"move_every_sarch": 1},
        {"move_every_search": "x"},
        {"move_every_search": -1},
        {"move_every_search": 1e9},
    ):
        answer = api.session.post(f"{api.base_url}/admin/movement", json=wrong, timeout=5)
        assert answer.status_code == 400
        assert "move_every" in answer.json()["message"]
    assert server.movement.move_every_search == 1


def test_conversations_are_of_many_kinds() -> None:
    seen = [json.loads(raw)["fields"] for raw in content(make(conversations=2_000))]
    kinds = {name: Counter(fields[name] for fields in seen) for name in seen[0] if name != "note"}
    assert set(kinds["channelType"]) == {"voice", "chat", "email", "callback", "message"}
    assert set(kinds["status"]) == {"completed", "abandoned", "active", "transferred"}
    assert set(kinds["direction"]) == {"inbound", "outbound"}
    assert len(kinds["queueName"]) == 8
    assert len(kinds["wrapUpCode"]) == 6
    assert len(kinds["agentName"]) == 120
    assert len(kinds["durationSeconds"]) > 500
    # One kind says nothing of another: every queue has every channel.
    assert len({(fields["channelType"], fields["queueName"]) for fields in seen}) == 5 * 8


def test_a_share_of_changes_is_a_share() -> None:
    with pytest.raises(ValueError, match="late_changes must be from 0 to 1, not 5"):
        Movement(late_changes=5)


def test_stats_count_and_reset(sandbox: Sandbox) -> None:
    server, api = sandbox(conversations=300)
    api.all_ids()
    api.ask(size=0)
    told = api.admin("stats")
    assert told == server.stats
    wanted = {"token_requests": 1, "searches": 3, "pages_served": 2, "records_served": 300, "full_pages": 1}
    assert {name: told[name] for name in wanted} == wanted
    assert (told["status_200"], told["status_400"], told["max_in_flight"]) == (2, 1, 1)
    server.world.move(arrive=2)
    api.admin("stats/reset", {})
    assert {server.stats[name] for name in (*wanted, "arrived")} == {0}
    assert len(server.truth()) == 302


def test_health_and_a_world_that_ends_now() -> None:
    with SandboxServer(WorldConfig(conversations=50, days=2)) as server:
        assert server.base_url.startswith("http://127.0.0.1:")
        world = server.world
        assert world.end - world.start == 2 * DAY
        assert abs(world.end - world.now()) < 60_000
        assert len(world.truth(read("*"))) == 50
