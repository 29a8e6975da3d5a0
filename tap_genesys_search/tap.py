"""The tap: its settings and its streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import click
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_genesys_search.errors import ConfigurationError, StateError
from tap_genesys_search.reporting import one_line_errors
from tap_genesys_search.settings import CONFIG_JSONSCHEMA, Settings
from tap_genesys_search.streams import ConversationsStream
from tap_genesys_search.writer import PageWriter

if TYPE_CHECKING:
    from singer_sdk import Stream


class TapCommand(SingerCommand):
    """The SDK's command, with one line and a telling exit code where it would show a traceback."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        with one_line_errors(self.logger):
            return super().main(*args, **kwargs)


class TapGenesysSearch(Tap):
    """Singer tap for the conversations of a Genesys Cloud contact centre."""

    name = "tap-genesys-search"
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_JSONSCHEMA
    message_writer_class = PageWriter

    def __init__(self, *, validate_config: bool = True, **kwargs: Any) -> None:
        """Read and check the settings.

        Raises:
            ConfigurationError: A setting is missing or wrong.
            StateError: The state is none.
        """
        try:
            super().__init__(validate_config=validate_config, **kwargs)
        except ConfigValidationError:
            # The SDK's messages show the values that are wrong, and a secret may be among them.
            Settings.from_config(self.config)
            raise
        if validate_config:
            Settings.from_config(self.config)
        if isinstance(self.message_writer, PageWriter):
            self.message_writer.defer_signals()

    @override
    def discover_streams(self) -> list[Stream]:
        return [ConversationsStream(self)]

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take the stored state.

        Raises:
            StateError: It has not the shape of a state.
        """
        bookmarks = state.get("bookmarks", {}) if isinstance(state, dict) else None
        if not isinstance(bookmarks, dict) or not all(isinstance(entry, dict) for entry in bookmarks.values()):
            message = "the state is none: it must be an object with bookmarks by stream; repair it, or start without one"
            raise StateError(message)
        super().load_state(state)

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        return TapCommand(
            name=command.name,
            callback=command.callback,
            context_settings=command.context_settings,
            params=command.params,
            help=command.help,
            logger=cls.logger,
        )


__all__ = ["ConfigurationError", "TapGenesysSearch"]

if __name__ == "__main__":
    TapGenesysSearch.cli()
