"""The tap: its settings and its streams."""

from __future__ import annotations

import io
from copy import deepcopy
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, ClassVar

import click
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.plugin_base import SingerCommand
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_genesys_search.bookmark import Stored
from tap_genesys_search.configuration import ENVIRONMENT, name_of, read_environment, read_file, read_json
from tap_genesys_search.errors import ConfigurationError, GenesysSearchError, StateError
from tap_genesys_search.reporting import one_line_errors
from tap_genesys_search.schema_problems import check_settings_of_sdk, mended
from tap_genesys_search.settings import CONFIG_JSONSCHEMA, Settings
from tap_genesys_search.streams import ConversationsStream
from tap_genesys_search.writer import PageWriter

if TYPE_CHECKING:
    from singer_sdk import Stream

_NO_STATE = "the state is none: it must be an object with bookmarks by stream; repair it, or start without one"


class TapCommand(SingerCommand):
    """The SDK's command, with one line, a record and a telling exit code where it would show a traceback."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        with one_line_errors(self.logger, has_record=True):
            return super().main(*args, **kwargs)

    @override
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments.

        Raises:
            ConfigurationError: A file that is named cannot be opened, which for click is a wrong usage.
        """
        try:
            return super().make_context(*args, **kwargs)
        except click.BadParameter as error:
            if error.param is None or not isinstance(error.param.type, click.File):
                raise
            name, _, reason = error.message.rpartition(": ")
            message = f"the {error.param.name} file {name} cannot be read: {reason}"
        raise ConfigurationError(message)


class TapGenesysSearch(Tap):
    """Singer tap for the conversations of a Genesys Cloud contact centre."""

    name = "tap-genesys-search"
    # A copy, as the SDK adds its own settings to it.
    config_jsonschema: ClassVar[dict[str, Any]] = deepcopy(CONFIG_JSONSCHEMA)
    message_writer_class = PageWriter

    def __init__(
        self,
        *,
        config: dict[str, Any] | PurePath | str | list[PurePath | str] | None = None,
        parse_env_config: bool = False,
        validate_config: bool = True,
        **kwargs: Any,
    ) -> None:
        """Read and check the settings.

        Raises:
            ConfigurationError: A setting is missing or wrong.
            StateError: The state is none.
        """
        state = kwargs.get("state")
        # The SDK would take an empty list for no state.
        if state is not None and not isinstance(state, (dict, str, PurePath)):
            raise StateError(_NO_STATE)
        catalog = kwargs.get("catalog")
        if catalog is not None and not isinstance(catalog, (str, PurePath, Catalog)):
            kwargs["catalog"] = _catalog(catalog)
        if parse_env_config and (config is None or isinstance(config, dict)):
            # The SDK would take `.env` from above the folder where it is installed, and a wrong number for a bug.
            config, parse_env_config = (config or {}) | read_environment(), False
        if isinstance(config, dict):
            # For the SDK, a setting of its own that is null is neither set nor left out.
            config = {name: value for name, value in config.items() if value is not None}
        schema: dict[str, Any] | None = None
        try:
            super().__init__(
                config=config, parse_env_config=parse_env_config, validate_config=validate_config, **kwargs
            )
        except ConfigValidationError as error:
            # Its texts show the values that are wrong, and a secret may be among them. So it is not passed on, not even
            # as the context of another error.
            schema = error.schema
        if validate_config:
            Settings.from_config(self.config)
        if validate_config or schema is not None:
            check_settings_of_sdk(self.config, schema)
        if isinstance(self.message_writer, PageWriter):
            self.message_writer.defer_signals(self._handle_termination)
        else:
            super()._setup_signal_handlers()
        if self.input_catalog is not None and not any(stream.selected for stream in self.streams.values()):
            # A run that reads nothing must not look like one that found nothing new.
            self.logger.warning("the catalog selects no stream, so nothing is read; see select, or --catalog")

    @override
    def _setup_signal_handlers(self) -> None:
        """Wait until the state is loaded: the SDK's handler writes whatever there is, and an empty one replaces it."""

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        super().append_builtin_config(config_jsonschema)
        config_jsonschema["properties"] = mended(config_jsonschema["properties"])

    @override
    def discover_streams(self) -> list[Stream]:
        return [ConversationsStream(self)]

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take the stored state.

        Raises:
            StateError: It has not the shape of a state, or something else stands where a timestamp belongs.
        """
        document: object = state
        # One that is wrapped in something else would pass for that of a first run.
        bookmarks = document.get("bookmarks", None if document else {}) if isinstance(document, dict) else None
        if not isinstance(bookmarks, dict) or not all(map(_is_entry, bookmarks.values())):
            raise StateError(_NO_STATE)
        # The SDK's own look at a bookmark would be a traceback.
        Stored.from_state(bookmarks.get(ConversationsStream.name, {}))
        super().load_state(state)

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        """Read the files, once each, as one may be a pipe; the SDK's own words for what is wrong are a traceback."""
        found = super().cb_config(ctx, param, tuple(source for source in value if source == ENVIRONMENT))
        for source in value:
            if source != ENVIRONMENT:
                found.config.update(read_file(Path(source)))
        return found

    @classmethod
    @override
    def invoke(cls, *, state: IO[str] | None = None, catalog: IO[str] | None = None, **kwargs: Any) -> None:
        """Check these files, too, before the SDK reads them.

        Raises:
            ConfigurationError: One of them is no JSON object (for the state: a StateError), or cannot be read.
        """
        super().invoke(
            state=_checked(state, "state", StateError),
            catalog=_checked(catalog, "catalog", ConfigurationError),
            **kwargs,
        )

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


def _is_entry(entry: object) -> bool:
    """Whether the SDK can read it as one stream's."""
    if not isinstance(entry, dict):
        return False
    markers, partitions = entry.get("progress_markers", {}), entry.get("partitions", [])
    return (
        isinstance(markers, dict)
        and isinstance(partitions, list)
        and all(_is_entry(each) and isinstance(each.get("context"), dict) for each in partitions)
    )


def _catalog(document: object) -> Catalog:
    try:
        if isinstance(document, dict) and isinstance(document["streams"], list):
            return Catalog.from_dict(document)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    message = "the catalog is none: it must be an object with streams, as --discover writes it"
    raise ConfigurationError(message)


def _checked(file: IO[str] | None, kind: str, otherwise: type[GenesysSearchError]) -> IO[str] | None:
    if file is None:
        return None
    text, document = read_json(file, kind, otherwise)
    if document is None or isinstance(document, str):
        # The SDK would take it for none at all, or for the path of another file.
        message = f"the {kind} file {name_of(file)} holds no JSON object"
        raise otherwise(message)
    # A pipe can be read once only.
    return io.StringIO(text)


if __name__ == "__main__":
    TapGenesysSearch.cli()
