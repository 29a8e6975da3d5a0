"""The fast path is Singer: whatever the configuration, it says what the SDK's own path says."""

from __future__ import annotations

import gzip
import io
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk import Stream, Tap
from singer_sdk.singerlib.catalog import Catalog

from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tap_genesys_search.tap import TapGenesysSearch

if TYPE_CHECKING:
    from collections.abc import Iterator

Message = dict[str, Any]
CONVERSATIONS = 900


@pytest.fixture(scope="module")
def api() -> Iterator[SandboxServer]:
    """Some conversations that stay as they are."""
    world = WorldConfig(seed=7, conversations=CONVERSATIONS, days=3, end="2026-11-20T00:00:00Z")
    with SandboxServer(world=world, faults=Faults(total_noise=0)) as server:
        yield server


def config(api: SandboxServer, **more: Any) -> dict[str, Any]:
    """What a run against the sandbox needs."""
    return {
        "client_id": "sandbox",
        "client_secret": "sandbox-secret",
        "base_url": api.base_url,
        "requests_per_minute": 100_000,
        "end_date": "2026-11-21T00:00:00Z",
        **more,
    }


def catalog(**selected: bool) -> Message:
    """Return the discovered catalog, with some properties (``fields__status`` for a nested one) switched."""
    document: Message = TapGenesysSearch(validate_config=False).catalog_dict
    for entry in document["streams"][0]["metadata"]:
        name = "__".join(entry["breadcrumb"][1::2])
        if not entry["breadcrumb"]:
            entry["metadata"]["selected"] = True
        elif name in selected:
            entry["metadata"]["selected"] = selected[name]
    return document


@contextmanager
def _captured() -> Iterator[io.BytesIO]:
    before, raw = sys.stdout, io.BytesIO()
    sys.stdout = io.TextIOWrapper(raw, write_through=True)
    try:
        yield raw
    finally:
        sys.stdout.flush()
        sys.stdout.detach()
        sys.stdout = before


def run(options: Message, *, fast: bool) -> list[Message]:
    """Run the tap once in this process; return its messages."""
    arguments = {key: options[key] for key in ("config", "catalog", "state") if key in options}
    tap = TapGenesysSearch(**json.loads(json.dumps(arguments)))
    stream = tap.streams["conversations"]
    for name, value in options.get("attributes", {}).items():
        setattr(stream, name, value)
    if not fast:
        stream.__dict__["_is_by_page"] = False
    with _captured() as raw:
        if options.get("test"):
            tap.run_connection_test()
        else:
            tap.sync_all()
    return [json.loads(line) for line in raw.getvalue().splitlines()]


def counted(log: pytest.LogCaptureFixture) -> int:
    """Return the SDK's own count of records, from its metric."""
    points = [json.loads(text.removeprefix("METRIC: ")) for text in log.messages if text.startswith("METRIC: ")]
    log.clear()
    return sum(point["value"] for point in points if point["metric"] == "record_count")


def essence(messages: list[Message]) -> list[Message]:
    """Leave out what differs from run to run: times of the run, names of files."""
    shown = []
    versions: list[int] = []
    for message in messages:
        if message["type"] == "BATCH":
            records = [
                json.loads(line)
                for path in message["manifest"]
                for line in _unzipped(Path(path.removeprefix("file://")))
            ]
            shown.append({"type": "BATCH", "stream": message["stream"], "records": records})
            continue
        message.pop("time_extracted", None)
        if "version" in message:
            # The second in which the run began: the same on each message.
            versions.append(message["version"])
            message["version"] = len(set(versions))
        if message["type"] == "STATE":
            for entry in message["value"].get("bookmarks", {}).values():
                entry.pop("run_start", None)
        shown.append(message)
    return shown


def _unzipped(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def by_page(messages: list[Message]) -> list[Message]:
    """Leave out STATE between pages: where slices are cut is chance."""
    last = [message for message in messages if message["type"] == "STATE"][-1:]
    return [message for message in messages if message["type"] != "STATE"] + last


SETTINGS: dict[str, Message] = {
    "plain": {},
    "small pages": {"config": {"page_size": 7}},
    "one worker": {"config": {"concurrency": 1}},
    "small slices": {"config": {"slice_records": 50, "concurrency": 4}},
    "max_results": {"config": {"max_results": 333}},
    "max_results at a page's end": {"config": {"max_results": 200, "concurrency": 1}},
    "start_date": {"config": {"start_date": "2026-11-18T12:00:00Z"}},
    "query": {"config": {"query": "channelType:voice"}},
    "nothing matches": {"config": {"query": "channelType:telegram"}},
    "state": {"state": "2026-11-18T00:00:00.000Z"},
    "state at the end": {"state": "2026-11-21T00:00:00.000Z"},
    "a lookback": {"state": "2026-11-18T00:00:00.000Z", "config": {"lookback_seconds": 86_400}},
    "catalog": {"catalog": {}},
    "top property deselected": {"catalog": {"type": False}},
    "nested property deselected": {"catalog": {"fields__status": False}},
    "object deselected": {"catalog": {"fields": False}},
    "map: a new property": {"config": {"stream_maps": {"conversations": {"channel": "fields['channelType']"}}}},
    "map: a filter": {"config": {"stream_maps": {"conversations": {"__filter__": "fields['channelType'] == 'voice'"}}}},
    "map: another name": {"config": {"stream_maps": {"conversations": {"__alias__": "calls"}}}},
    "map: only what is named": {"config": {"stream_maps": {"conversations": {"__else__": None, "id": "id"}}}},
    "map: removed": {"config": {"stream_maps": {"conversations": None}}},
    "map: a copy": {"config": {"stream_maps": {"copy": {"__source__": "conversations"}}}},
    "map: another key": {"config": {"stream_maps": {"conversations": {"__key_properties__": ["conversationId"]}}}},
    "flattening": {"config": {"flattening_enabled": True, "flattening_max_depth": 1}},
    "flattening, not deep": {"config": {"flattening_enabled": True, "flattening_max_depth": 0}},
    "full table": {"attributes": {"forced_replication_method": "FULL_TABLE"}},
    "full table, with versions": {
        "attributes": {"forced_replication_method": "FULL_TABLE"},
        "config": {"emit_activate_version_messages": True},
    },
    "batch": {"batch": True},
    "test run": {"test": True},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_both_paths_say_the_same(
    name: str, api: SandboxServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """SCHEMA, records in their order, the last STATE, and the SDK's count."""
    caplog.set_level("INFO", "singer_sdk.metrics")
    setting = SETTINGS[name]
    said: list[list[Message]] = []
    counts: list[int] = []
    for fast in (True, False):
        options: Message = {**setting, "config": config(api, **setting.get("config", {}))}
        if "catalog" in setting:
            options["catalog"] = catalog(**setting["catalog"])
        if "state" in setting:
            bookmark = {"replication_key": "timestamp", "replication_key_value": setting["state"]}
            options["state"] = {"bookmarks": {"conversations": bookmark}}
        if setting.get("batch"):
            folder = tmp_path / str(fast)
            folder.mkdir()
            options["config"]["batch_config"] = {
                "encoding": {"format": "jsonl", "compression": "gzip"},
                "storage": {"root": f"file://{folder}", "prefix": "test-"},
            }
        said.append(by_page(essence(run(options, fast=fast))))
        counts.append(counted(caplog))
    assert said[0] == said[1]
    assert counts[0] == counts[1]
    assert not said[0] or setting.get("batch") or counts[0] or name in {"nothing matches", "state at the end"}
    assert any(message["type"] in {"RECORD", "BATCH"} for message in said[0]) == (
        name not in {"nothing matches", "map: removed", "state at the end"}
    )


@pytest.mark.parametrize("method", ["INCREMENTAL", "FULL_TABLE"])
def test_the_plain_run_is_fast(api: SandboxServer, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """One turn of the SDK's loop for a page; without this the test above would compare a path with itself."""
    tap = TapGenesysSearch(config=config(api))
    stream = tap.streams["conversations"]
    stream.forced_replication_method = method
    turns = 0
    original = stream._write_record_message

    def write(record: Message) -> None:
        nonlocal turns
        turns += 1
        original(record)

    monkeypatch.setattr(stream, "_write_record_message", write)
    with _captured() as raw:
        tap.sync_all()
    records = [line for line in raw.getvalue().splitlines() if b'"RECORD"' in line]
    assert len(records) == CONVERSATIONS
    assert turns <= CONVERSATIONS / 200 * 2


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Stream, "_write_record_message"),
        (Stream, "_generate_record_messages"),
        (Stream, "_process_record"),
        (Stream, "_increment_stream_state"),
        (Stream, "_write_state_message"),
        (Stream, "_write_batch_message"),
        (Stream, "_sync_records"),
        (Tap, "sync_all"),
    ],
)
def test_the_sdk_has_what_the_fast_path_stands_on(owner: type, name: str) -> None:
    """These names are the SDK's own business; where one is gone, look at streams/conversations.py again."""
    assert hasattr(owner, name), f"singer-sdk has no {owner.__name__}.{name} any more: see streams/conversations.py"


def test_a_catalog_is_understood() -> None:
    """The helper above switches what it says."""
    mask = Catalog.from_dict(catalog(type=False))["conversations"].metadata.resolve_selection()
    assert not mask["properties", "type"]
    assert mask["properties", "fields"]
