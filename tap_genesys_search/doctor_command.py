"""genesys-search doctor: is all well between these settings and that platform?"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

import click

from tap_genesys_search.configuration import config_option, read_config
from tap_genesys_search.doctor import NAMES, Doctor, Finding
from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.schema_problems import check_settings_of_sdk, mended
from tap_genesys_search.settings import Settings, schema_of_sdk

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH: Final = max(map(len, NAMES))
_MARKS: Final = {True: ("ok    ", "green"), False: ("NOT OK", "red"), None: ("-     ", None)}


@click.command("doctor")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def doctor_command(*, sources: tuple[str, ...], as_json: bool) -> None:
    """Check settings, token, platform and Redis; each line is ok, or says what to change.

    It takes a token and about five searches. The exit code is 0 if all is well, else that of a run with these settings:
    78 for something to change, 75 for a platform to wait for, 76 for an API that does not do what the tap rests on.
    """
    try:
        config = read_config(sources)
        settings = Settings.from_config(config)
        check_settings_of_sdk(config, mended(schema_of_sdk()))
    except ConfigurationError as error:
        rest = (Finding(name, ok=None, says="not checked: the settings come first") for name in NAMES[1:])
        findings = [Finding.of(NAMES[0], error), *rest]
    else:
        findings = Doctor(settings).findings()
    code = next((finding.exit_code for finding in findings if finding.ok is False), 0)
    if as_json:
        click.echo(json.dumps({"ok": code == 0, "exit_code": code, "checks": [each.document() for each in findings]}))
    else:
        for finding in findings:
            for line in _lines(finding):
                click.echo(line)
    sys.exit(code)


def _lines(finding: Finding) -> Iterator[str]:
    mark, colour = _MARKS[finding.ok]
    yield f"{click.style(mark, fg=colour)}  {finding.name:<{_WIDTH}}  {finding.says}"
    # Most errors say themselves what to do.
    if finding.fix and finding.fix not in finding.says:
        yield f"{'':{_WIDTH + 10}}{click.style(finding.fix, bold=True)}"
