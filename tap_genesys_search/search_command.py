"""genesys-search search: the generator from the shell."""

from __future__ import annotations

import click

from tap_genesys_search.configuration import config_option, read_config
from tap_genesys_search.search import ConversationSearchClient
from tap_genesys_search.settings import Settings


@click.command()
@click.argument("query", required=False)
@config_option
@click.option("--max-results", type=click.IntRange(min=0), help="Stop after so many.")
@click.option("--start", help="First moment, ISO 8601.")
@click.option("--end", help="End, exclusive, ISO 8601.")
@click.option("--oldest-first", is_flag=True, help="From the oldest up, instead of from the newest down.")
def search(
    query: str | None,
    sources: tuple[str, ...],
    max_results: int | None,
    start: str | None,
    end: str | None,
    *,
    oldest_first: bool,
) -> None:
    """Print a line for each conversation that matches QUERY (Lucene), the newest first.

    Without QUERY it is that of the configuration. A query that begins with a dash goes behind two more: -- "-a b".
    """
    settings = Settings.from_config(read_config(sources) | ({} if query is None else {"query": query}))
    ids: set[int] = set()
    with ConversationSearchClient.from_settings(settings) as client:
        conversations = client.stream_conversations(
            settings.query, start=start, end=end, max_results=max_results, newest_first=not oldest_first
        )
        for number, conversation in enumerate(conversations):
            ids.add(hash(conversation["id"]))
            click.echo(f"[{number}] ID: {conversation['id']} | Time: {conversation['timestamp']}")
    click.echo(f"Stream complete. Processed {len(ids)} unique conversations.")
