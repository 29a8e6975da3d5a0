"""genesys-search explain: where one conversation stands."""

from __future__ import annotations

import click

from tap_genesys_search import timestamps
from tap_genesys_search.configuration import config_option, read_config
from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.explain import explain, look_up, read_state
from tap_genesys_search.search import ConversationSearchClient
from tap_genesys_search.settings import Settings


@click.command("explain")
@click.argument("conversation_id", metavar="CONVERSATIONID")
@config_option
@click.option("--state", help="The state that the next run will begin with: Singer's, or of `meltano state get`.")
def explain_command(conversation_id: str, sources: tuple[str, ...], state: str | None) -> None:
    """Say whether the source has CONVERSATIONID now, and whether the next run will read it."""
    identity = conversation_id.strip()
    if not identity:
        message = "the conversation's id is blank"
        raise ConfigurationError(message)
    settings = Settings.from_config(read_config(sources))
    stored = None if state is None else read_state(state)
    with ConversationSearchClient.from_settings(settings) as client:
        found = look_up(client.http.ask, settings.query, identity)
        now = timestamps.from_seconds(client.clock.time())
    for line in explain(identity, found, settings, stored, now):
        click.echo(line)
