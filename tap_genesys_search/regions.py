"""Region to hosts. Source: the official Python client, PureCloudPlatformClientV2 269, ``purecloud_region_hosts.py``."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

DEFAULT_REGION: Final = "us-east-1"

DOMAINS: Final = {
    "us-east-1": "mypurecloud.com",
    "us-east-2": "use2.us-gov-pure.cloud",
    "us-west-2": "usw2.pure.cloud",
    "ca-central-1": "cac1.pure.cloud",
    "mx-central-1": "mxc1.pure.cloud",
    "sa-east-1": "sae1.pure.cloud",
    "eu-west-1": "mypurecloud.ie",
    "eu-west-2": "euw2.pure.cloud",
    "eu-central-1": "mypurecloud.de",
    "eu-central-2": "euc2.pure.cloud",
    "eusc-de-east-1": "edee1.eusc-pure.cloud",
    "me-central-1": "mec1.pure.cloud",
    "ap-south-1": "aps1.pure.cloud",
    "ap-southeast-1": "apse1.pure.cloud",
    "ap-southeast-2": "mypurecloud.com.au",
    "ap-northeast-1": "mypurecloud.jp",
    "ap-northeast-2": "apne2.pure.cloud",
    "ap-northeast-3": "apne3.pure.cloud",
}


def api_url(region: str) -> str:
    """Return the base URL of a region's API.

    Raises:
        KeyError: There is no such region.
    """
    return f"https://api.{DOMAINS[region]}"


def token_url(base_url: str) -> str:
    """Return where an API's tokens come from: the region's login host, or the API host itself if it is no region's."""
    domain = (urlsplit(base_url).hostname or "").removeprefix("api.")
    if domain in DOMAINS.values():
        return f"https://login.{domain}/oauth/token"
    return f"{base_url.rstrip('/')}/oauth/token"


def is_login_host(url: str) -> bool:
    """Tell whether a token URL is a region's login host, which wants HTTP Basic."""
    return (urlsplit(url).hostname or "").removeprefix("login.") in DOMAINS.values()
