"""Regions and their hosts."""

from __future__ import annotations

import pytest

from tap_genesys_search import regions


def test_a_region_has_its_api_and_login_host() -> None:
    assert regions.api_url("eu-west-1") == "https://api.mypurecloud.ie"
    assert regions.token_url("https://api.mypurecloud.ie") == "https://login.mypurecloud.ie/oauth/token"


@pytest.mark.parametrize("region", regions.DOMAINS)
def test_every_region_takes_its_tokens_from_a_login_host(region: str) -> None:
    url = regions.token_url(regions.api_url(region))
    assert url == f"https://login.{regions.DOMAINS[region]}/oauth/token"
    assert regions.is_login_host(url)


def test_an_api_host_written_in_another_way_is_still_the_regions() -> None:
    assert regions.token_url("https://API.MyPureCloud.com:443/") == "https://login.mypurecloud.com/oauth/token"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "https://api.example.com/", "https://api.mypurecloud.com.evil.io"]
)
def test_any_other_host_gives_its_own_tokens(url: str) -> None:
    token_url = regions.token_url(url)
    assert token_url == f"{url.rstrip('/')}/oauth/token"
    assert not regions.is_login_host(token_url)


def test_an_unknown_region_is_an_error() -> None:
    with pytest.raises(KeyError):
        regions.api_url("moon-1")
