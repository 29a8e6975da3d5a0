"""genesys-search plan: what a backfill will be, before it is started."""

from __future__ import annotations

import json
import shutil
import sys
from typing import cast

import click

from tap_genesys_search import timestamps
from tap_genesys_search.configuration import config_option, read_config
from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.plan import UNITS, Unit, plan
from tap_genesys_search.question import instant_of
from tap_genesys_search.search import ConversationSearchClient
from tap_genesys_search.settings import Settings


@click.command("plan")
@config_option
@click.option("--start", help="First moment, ISO 8601 (start_date of the configuration, or the oldest conversation).")
@click.option("--end", help="End, exclusive, ISO 8601 (end_date of the configuration, or now).")
@click.option("--by", type=click.Choice(UNITS), help="What a bar stands for; by itself so that there are 60 at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a picture.")
def plan_command(
    *, sources: tuple[str, ...], start: str | None, end: str | None, by: str | None, as_json: bool
) -> None:
    """Estimate conversations, searches and minutes of a backfill, and show when the conversations were.

    It costs one search for each bar and one more, and reads no conversations.
    """
    settings = Settings.from_config(read_config(sources))
    low = instant_of(start, "--start", timestamps.BEGIN if settings.start is None else settings.start)
    with ConversationSearchClient.from_settings(settings) as client:
        now = timestamps.from_seconds(client.clock.time())
        high = min(now, instant_of(end, "--end", now if settings.end is None else settings.end))
        if high <= low:
            message = f"nothing to plan: the range would begin at {timestamps.write(low)} and end before"
            raise ConfigurationError(message)
        found = plan(
            client.http.ask,
            settings.query,
            low,
            high,
            unit=cast("Unit | None", by),
            page_size=settings.page_size,
            limit=settings.requests_per_minute / 60,
            rate=lambda: client.budget.rate,
        )
    if as_json:
        click.echo(json.dumps(found.document()))
        return
    for line in found.picture(shutil.get_terminal_size().columns, ascii_only=not _draws_blocks()):
        click.echo(line)


def _draws_blocks() -> bool:
    try:
        "█▏".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
