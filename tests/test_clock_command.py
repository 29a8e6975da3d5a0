"""genesys-search clock: the moment that a backfill begins with."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.cli import main
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tests.support.helpers import config_for

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600


@pytest.mark.parametrize(("ahead", "expected"), [(-HOUR, -HOUR), (HOUR, 0)])
def test_the_earlier_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str], ahead: int, expected: int) -> None:
    file = tmp_path / "config.json"
    with SandboxServer(WorldConfig(conversations=10), Faults(clock_offset_seconds=ahead)) as server:
        file.write_text(json.dumps(config_for(server)))
        before = timestamps.from_seconds(time.time())
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["clock", "--config", str(file)])
        after = timestamps.from_seconds(time.time())
    printed = timestamps.parse(capsys.readouterr().out)
    # A Date tells whole seconds.
    assert before + expected * 1000 - 1000 < printed <= after + expected * 1000


def test_who_may_not_search_learns_it_in_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config.json"
    with SandboxServer(WorldConfig(conversations=10)) as server:
        file.write_text(json.dumps(config_for(server, client_secret="wrong")))
        with pytest.raises(SystemExit):
            main(["clock", "--config", str(file)])
    assert capsys.readouterr().out == ""
    (line,) = [message for message in caplog.messages if message.startswith("FAILURE: ")]
    assert json.loads(line.removeprefix("FAILURE: "))["kind"] == "configuration"
