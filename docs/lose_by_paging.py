"""Show what following page tokens loses while data moves, beside seeking: ``uv run python docs/lose_by_paging.py``.

Two sandboxes hold the same conversations and move alike at every search. One is read by following ``nextPage`` with
plain requests, the other by this package's generator. Counted are the conversations that kept their place from the
beginning to the end, and that the reading has not shown. Needs the extra ``sandbox``, and no network.
"""
# ruff: noqa: INP001, T201 - a folder of docs is no package, and printing is what this is for

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import requests

from tap_genesys_search import ConversationSearchClient, GenesysAuth
from tap_genesys_search.sandbox import Client, Movement, SandboxServer, WorldConfig

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60


def by_paging(base_url: str, page_size: int) -> set[str]:
    """Follow the tokens of the answers from the first page to the last, and return the ids."""
    with requests.Session() as session:
        client = {"client_id": Client.client_id, "client_secret": Client.client_secret}
        form = {"grant_type": "client_credentials", "scope": "search:query", **client}
        token = session.post(f"{base_url}/oauth/token", data=form, timeout=SECONDS).json()["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        sort = [{"field": "timestamp", "direction": "asc"}]
        body: dict[str, Any] = {"query": "*", "type": "conversation", "size": page_size, "sort": sort, "page": 1}
        ids: set[str] = set()
        while True:
            answer = session.post(f"{base_url}/api/v2/search", json=body, timeout=SECONDS)
            answer.raise_for_status()
            page = answer.json()
            ids.update(result["id"] for result in page["results"])
            if "nextPage" not in page:
                return ids
            body["page"] = page["nextPage"]


def by_seeking(base_url: str, page_size: int) -> set[str]:
    """Read by the generator, and return the ids."""
    auth = GenesysAuth(Client.client_id, Client.client_secret, base_url)
    with ConversationSearchClient(auth, base_url, page_size=page_size, requests_per_minute=100_000) as client:
        return {conversation["id"] for conversation in client.stream_conversations(newest_first=False)}


def lost(read: Callable[[str, int], set[str]], conversations: int, page_size: int, seed: int) -> tuple[int, int, int]:
    """Read a sandbox that moves: how many were lost of those that kept their place, how many did, and the searches."""
    world = WorldConfig(seed=seed, conversations=conversations)
    movement = Movement(move_every_search=1, leave_every_search=0.5, late_every_search=1, late_in_range=True)
    with SandboxServer(world, movement=movement) as sandbox:
        ids = read(sandbox.base_url, page_size)
        searches = sandbox.stats["searches"]
        sandbox.world.quiet()
        stood = {record.id for record in sandbox.world.truth() if sandbox.world.stood(record)}
    return len(stood - ids), len(stood), searches


def main() -> None:
    """Print a line for each way to read."""
    parser = argparse.ArgumentParser(description="What following page tokens loses while data moves.")
    parser.add_argument("--conversations", type=int, default=20_000, help="how many there are (20,000)")
    parser.add_argument("--page-size", type=int, default=200, help="how many in one answer, 1 to 200 (200)")
    parser.add_argument("--seeds", type=int, default=5, help="how many times, each with other conversations (5)")
    given = parser.parse_args()
    print(f"{given.conversations:,} conversations, {given.page_size} in an answer. At every search one changes and one")
    print("shows late, at every other search one leaves.\n")
    print(f"{'':<20}{'seed':>6}{'searches':>10}{'kept their place':>18}{'of these lost':>15}")
    for name, read in (("following nextPage", by_paging), ("seeking", by_seeking)):
        for seed in range(1, given.seeds + 1):
            missing, stood, searches = lost(read, given.conversations, given.page_size, seed)
            print(f"{name:<20}{seed:>6}{searches:>10,}{stood:>18,}{missing:>15,}")


if __name__ == "__main__":
    main()
