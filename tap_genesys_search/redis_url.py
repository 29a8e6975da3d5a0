"""The address of a Redis: what it may be, and what may be shown of it."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlsplit

SCHEMES: Final = ("redis", "rediss", "unix")

_EXAMPLE: Final = "must be a URL such as redis://:password@host:6379/0, rediss://… or unix:///path"


def checked(text: str) -> str:
    """Return the URL as it is.

    Raises:
        ValueError: It is none; the text goes on after the setting's name, and shows nothing of it.
    """
    try:
        url = urlsplit(text)
        _ = url.port
        (url.hostname or "").encode("idna")
    except ValueError:
        raise ValueError(_EXAMPLE) from None
    local = url.scheme == "unix"
    if url.scheme not in SCHEMES or "//" not in text or not text.isprintable() or " " in text:
        raise ValueError(_EXAMPLE)
    if not (url.path.strip("/") if local else url.hostname):
        raise ValueError(_EXAMPLE)
    database = "" if local else url.path.removeprefix("/")
    # What has a meaning in URLs cuts a password in two, and the first half would be taken for host and port.
    if "#" in text or "@" in url.path + url.query or (database and not (database.isascii() and database.isdecimal())):
        message = "must write / # ? @ in a password as %2F %23 %3F %40, and ends with the number of a database, if any"
        raise ValueError(message)
    if url.query:
        try:
            parse_qsl(url.query, strict_parsing=True)
        except ValueError:
            message = "must have its options in the form ?name=value&name=value"
            raise ValueError(message) from None
    return text


def place_of(url: str) -> str:
    """Return what a message may show of a checked URL: host and port, or the path of a socket."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]
