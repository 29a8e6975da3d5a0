"""genesys-search clock: when a run would begin."""

from __future__ import annotations

import logging
from typing import Final

import click

from tap_genesys_search import timestamps
from tap_genesys_search.configuration import config_option, read_config
from tap_genesys_search.question import Axis, Question
from tap_genesys_search.reporting import one_line_errors
from tap_genesys_search.search import ConversationSearchClient
from tap_genesys_search.settings import Settings

_logger: Final = logging.getLogger("genesys-search")


@click.command()
@config_option
def clock(sources: tuple[str, ...]) -> None:
    """Print when a run would begin now: the earlier of this machine's clock and the platform's.

    It asks by one search, as a run does: who may not search learns it here.
    """
    # With the record for machines, as these are who asks.
    with one_line_errors(_logger, has_record=True):
        click.echo(timestamps.write(_now(Settings.from_config(read_config(sources)))))


def _now(settings: Settings) -> int:
    with ConversationSearchClient.from_settings(settings) as client:
        now = timestamps.from_seconds(client.clock.time())
        question = Question(timestamps.BEGIN, timestamps.END, Axis.NEWEST_FIRST, size=1)
        served_at = client.http.ask(question, settings.query).served_at
    return now if served_at is None else min(now, served_at)
