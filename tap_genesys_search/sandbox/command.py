"""The command that runs the sandbox; every field of world, movement and faults is an option."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tap_genesys_search.sandbox.app import create_app
from tap_genesys_search.sandbox.faults import Faults
from tap_genesys_search.sandbox.movement import Movement
from tap_genesys_search.sandbox.server import listen, serve
from tap_genesys_search.sandbox.tokens import Client
from tap_genesys_search.sandbox.world import WorldConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from dataclasses import Field

_PARTS = {"world": WorldConfig, "movement": Movement, "faults": Faults}
_Made = TypeVar("_Made", WorldConfig, Movement, Faults)
_Command = TypeVar("_Command", bound="Callable[..., Any]")


def _burst(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    pairs = []
    for text in given:
        instant, _, count = text.rpartition("=")
        if not instant or not count.isdecimal():
            message = f"'{text}' is not INSTANT=COUNT"
            raise click.BadParameter(message)
        pairs.append((instant, int(count)))
    return tuple(pairs)


def _option(part: str, each: Field[Any]) -> Callable[[_Command], _Command]:
    # Two parts have a seed; that of the world keeps the short name.
    name = "fault-seed" if (part, each.name) == ("faults", "seed") else each.name.replace("_", "-")
    settings: dict[str, Any] = {"help": each.metadata["help"], "default": each.default, "show_default": True}
    flag = f"--{name}"
    if each.name == "bursts":
        settings |= {"multiple": True, "callback": _burst, "metavar": "INSTANT=COUNT", "show_default": False}
        flag = "--burst"
    elif isinstance(each.default, bool):
        flag = f"{flag}/--no-{name}"
    elif each.default is None:
        settings |= {"type": str, "show_default": False}
    else:
        settings["type"] = type(each.default)
    return click.option(flag, f"{part}__{each.name}", **settings)


def _all_options(command: _Command) -> _Command:
    for part, kind in reversed(_PARTS.items()):
        for each in reversed(fields(kind)):
            if each.default is MISSING:
                message = f"{kind.__name__}.{each.name} has no default"
                raise TypeError(message)
            command = _option(part, each)(command)
    return command


def _made(kind: type[_Made], part: str, options: dict[str, Any]) -> _Made:
    given = {name.removeprefix(f"{part}__"): value for name, value in options.items() if name.startswith(f"{part}__")}
    return kind(**given)


def _write_port(path: Path, port: str) -> None:
    # Whoever waits for the file must never read half of it.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(f"{port}\n")
    Path(file.name).replace(path)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say in one line what the system refused, and why."""
    try:
        yield
    except OSError as error:
        message = f"{what}: {os.strerror(error.errno or 0)}"
        raise click.ClickException(message) from None


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="0: any free port.")
@click.option(
    "--port-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that gets the port once the sandbox listens.",
)
@click.option(
    "--warm",
    is_flag=True,
    help="Invent every conversation before listening; which of them a query matches is found as it is asked.",
)
@click.option("--client-id", default=Client.client_id, show_default=True, help="The client that gets tokens.")
@click.option("--client-secret", default=Client.client_secret, show_default=True, help="Its secret.")
@click.option("--scope", "scopes", multiple=True, default=Client.scopes, show_default=True, help="A scope it has.")
@click.option("--may-search/--may-not-search", default=True, show_default=True, help="Whether it may search (or 403).")
@_all_options
def sandbox(
    host: str,
    port: int,
    port_file: Path | None,
    *,
    client_id: str,
    client_secret: str,
    scopes: tuple[str, ...],
    warm: bool,
    may_search: bool,
    **options: Any,
) -> None:
    """Run a local Genesys Cloud with invented conversations, to try everything against.

    It answers POST /oauth/token and POST /api/v2/search; GET /admin/truth says what it holds. All options below from
    --seed on shape the world, its movement, and the faults; POST /admin/movement and /admin/faults change them later.
    """
    client = Client(client_id, client_secret, scopes, may_search)

    def ready(url: str) -> None:
        if port_file is not None:
            with _told(f"Cannot write the port file {port_file}"):
                _write_port(port_file, url.rpartition(":")[2])
        held = len(app.platform.world.index)
        with _told("Cannot write to the standard output"):
            try:
                click.echo(f"Sandbox on {url} with {held:,} conversations (client {client_id} / {client_secret})")
            except OSError:
                # The interpreter flushes stdout once more on its way out.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise

    try:
        app = create_app(
            _made(WorldConfig, "world", options),
            _made(Faults, "faults", options),
            _made(Movement, "movement", options),
            [client],
        )
        if warm:
            app.platform.world.warm()
            # What stays for good is not looked through again and again by the garbage collector.
            gc.freeze()
        with _told(f"Cannot listen on {host}:{port}"):
            bound = listen(host, port)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    serve(app, bound, ready=ready)
