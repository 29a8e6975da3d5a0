"""The command for people: genesys-search."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any, Final

import click
from typing_extensions import override

from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.reporting import one_line_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Commands by name: the module that has them, and what has to be installed for it. Imported when they are used, as most
#: runs need none of what the others bring.
_COMMANDS: Final = {
    "audit": ("tap_genesys_search.audit_command", "audit_command", "the package"),
    "clock": ("tap_genesys_search.clock_command", "clock", "the package"),
    "demo": ("tap_genesys_search.demo", "demo_command", "a clone of the repository, with: uv sync"),
    "doctor": ("tap_genesys_search.doctor_command", "doctor_command", "the package"),
    "explain": ("tap_genesys_search.explain_command", "explain_command", "the package"),
    "plan": ("tap_genesys_search.plan_command", "plan_command", "the package"),
    "sandbox": (
        "tap_genesys_search.sandbox.command",
        "sandbox",
        'the extra sandbox: pip install "tap-genesys-search[sandbox]"',
    ),
    "search": ("tap_genesys_search.search_command", "search", "the package"),
}

_logger: Final = logging.getLogger("genesys-search")


class _Commands(click.Group):
    """Finds the commands when they are asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name, needs = _COMMANDS[cmd_name]
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith(__package__ or ""):
                raise
            message = f"genesys-search {cmd_name} needs {needs} (the module {error.name} is missing)"
            return _unavailable(cmd_name, message)
        return command


def _unavailable(name: str, message: str) -> click.Command:
    """Stand in for a command whose modules are missing, so that the others and the help still work."""

    def fail(**_: Any) -> None:
        raise ConfigurationError(message)

    return click.Command(
        name,
        callback=fail,
        short_help=f"(not installed) {message}",
        context_settings={"ignore_unknown_options": True},
        params=[click.Argument(["rest"], nargs=-1)],
        add_help_option=False,
    )


@click.group(cls=_Commands)
@click.version_option(package_name="tap-genesys-search")
def group() -> None:
    """Conversations of a Genesys Cloud contact centre, from the shell."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; errors are one line on stderr and exit code 1."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    with one_line_errors(_logger, exit_code=1):
        group(args, prog_name="genesys-search")


if __name__ == "__main__":
    main()
