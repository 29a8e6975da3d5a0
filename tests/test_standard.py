"""The SDK's standard tests, against a sandbox."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tap_genesys_search.tap import TapGenesysSearch
from tests.support.helpers import CLIENT, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

# The class is made before there is a sandbox; whose address comes in when the class is run.
CONFIG: dict[str, Any] = {"client_id": CLIENT, "client_secret": SECRET, "base_url": "http://127.0.0.1:9"}

Standard: Any = get_tap_test_class(
    TapGenesysSearch, config=CONFIG, suite_config=SuiteConfig(max_records_limit=250), parse_env_config=False
)


class TestStandard(Standard):  # type: ignore[misc]
    """What the SDK asks of every tap and stream."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _sandbox(cls) -> Iterator[None]:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with SandboxServer(WorldConfig(conversations=400)) as server:
            CONFIG["base_url"] = server.base_url
            yield
            assert server.stats["searches"] > 0
        for number, handler in handlers.items():
            signal.signal(number, handler)


# Its tests run as those of the class above.
del Standard
