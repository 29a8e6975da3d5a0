"""What is said of the SDK's settings: the name and what it must be, and never the value."""

from __future__ import annotations

from typing import Any

import pytest

from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.tap import TapGenesysSearch
from tests.support.helpers import CLIENT, SECRET, check_hidden
from tests.support.logs import logged

PEPPER = "p3pper"
HASHING = f'{{"hash_seed": "{PEPPER}"}}'

BATCHES: dict[str, Any] = {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///tmp"}}
DEPTH = "flattening_max_depth must be a whole number of 0 or more where flattening_enabled is true"

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "JSON in quotes": ({"stream_map_config": HASHING}, "stream_map_config must be an object or null"),
    "maps in quotes": ({"stream_maps": HASHING}, "stream_maps must be an object or null"),
    "a text as a map": (
        {"stream_maps": {"conversations": HASHING}},
        'stream_maps.conversations must be "__NULL__" or null or an object',
    ),
    "an object as an expression": (
        {"stream_maps": {"conversations": {"x": {"y": PEPPER}}}},
        'stream_maps.conversations.x must be "__NULL__" or null or a text',
    ),
    "an object in a list": (
        {"stream_maps": {"conversations": {"__key_properties__": ["id", {"y": PEPPER}]}}},
        "stream_maps.conversations.__key_properties__[1] must be a text",
    ),
    "the other streams": (
        {"stream_maps": {"__else__": PEPPER}},
        'stream_maps.__else__ must be "__NULL__" or null',
    ),
    "a list as a filter": (
        {"stream_maps": {"conversations": {"__filter__": [PEPPER], "__alias__": {PEPPER: 1}}}},
        "; ".join(f"stream_maps.conversations.{name} must be a text or null" for name in ("__alias__", "__filter__")),
    ),
    "a list as a seed": (
        {"faker_config": {"seed": [PEPPER]}},
        "faker_config.seed must be a number or a text or true or false or null",
    ),
    "a list of lists": ({"faker_config": {"locale": ["en", [PEPPER]]}}, "faker_config.locale[1] must be a text"),
    "no such format": (
        {"batch_config": {"encoding": {"format": PEPPER}}},
        'batch_config.encoding.format must be "jsonl" or "parquet"',
    ),
    "no root": ({"batch_config": {"storage": {"root": [PEPPER]}}}, "batch_config.storage.root must be a text or null"),
    "flattening without a depth": ({"flattening_enabled": True}, DEPTH),
    "flattening below 0": ({"flattening_enabled": True, "flattening_max_depth": -1}, DEPTH),
    "batches of nothing": (
        {"batch_config": BATCHES | {"batch_size": 0}},
        "batch_config.batch_size must be a whole number of 1 or more",
    ),
    "batches nowhere": (
        {"batch_config": {"encoding": {"format": "jsonl"}}},
        "batch_config.storage.root must be a text, such as file:///var/batches",
    ),
    "batches of no form": (
        {"batch_config": {"storage": {"root": "file:///tmp"}}},
        'batch_config.encoding.format must be "jsonl" or "parquet"',
    ),
    "batches on no disk": (
        {"batch_config": BATCHES | {"storage": {"root": f"zzz://x:{PEPPER}@y"}}},
        "batch_config.storage.root begins with zzz, which is none that is known: install it, or name another",
    ),
    "batches in a bucket": (
        {"batch_config": BATCHES | {"storage": {"root": f"s3://x:{PEPPER}@y"}}},
        "batch_config.storage.root begins with s3, which needs a package: install it, or name another",
    ),
    "batches as parquet": (
        {"batch_config": BATCHES | {"encoding": {"format": "parquet"}}},
        "batch_config.encoding.format is parquet, which needs pyarrow beside the tap: install it, or write jsonl",
    ),
    "batches with more": (
        {"batch_config": BATCHES | {"size": PEPPER, "storage": {"root": "file:///tmp", "key": PEPPER}}},
        "batch_config.size is no setting; batch_config.storage.key is no setting",
    ),
    "two at once": (
        {"flattening_enabled": PEPPER, "flattening_max_depth": PEPPER},
        "flattening_enabled must be true or false or null; flattening_max_depth must be a whole number or null",
    ),
    "one of each": (
        {"stream_map_config": HASHING, "page_size": 0},
        "page_size must be a whole number from 1 to 200, not 0",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_no_value_is_shown(name: str) -> None:
    config, says = WRONG[name]
    with pytest.raises(ConfigurationError) as caught:
        TapGenesysSearch(config={"client_id": CLIENT, "client_secret": SECRET, **config})
    assert str(caught.value) == says
    assert caught.value.fix == "change what the reason names"
    check_hidden([PEPPER, SECRET], logged(caught.value))


def test_a_name_is_not_longer_than_a_line() -> None:
    config = {"client_id": CLIENT, "client_secret": SECRET, "stream_maps": {"x\n" * 99: 7}}
    with pytest.raises(ConfigurationError) as caught:
        TapGenesysSearch(config=config)
    assert str(caught.value) == f'stream_maps.{"x " * 20} must be "__NULL__" or null or an object'


def test_what_is_right_is_taken() -> None:
    config = {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "stream_map_config": {"hash_seed": PEPPER},
        "stream_maps": {"conversations": {"x": "md5(config['hash_seed'])", "y": None}},
    }
    assert TapGenesysSearch(config=config).config["stream_map_config"] == {"hash_seed": PEPPER}
