"""Write the notes of a release: its section of CHANGELOG.md.

``python3 .github/scripts/release_notes.py v0.1.0`` writes them to stdout; exit code 1, with one line on stderr, if the
tag is not the version in pyproject.toml, or if the changelog has no such section or an empty one.
"""  # noqa: INP001 - a script, of no package

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def notes(tag: str, version: str, changelog: str) -> str:
    """Return the section of a version, without its heading.

    Args:
        tag: The tag, ``v`` and the version.
        version: What pyproject.toml says.
        changelog: The text of CHANGELOG.md.

    Raises:
        ValueError: The tag is of another version, or there is nothing to say of it.
    """
    if tag != f"v{version}":
        message = f"the tag {tag} is not v{version}, the version in pyproject.toml"
        raise ValueError(message)
    heading = rf"^## \[{re.escape(version)}\][^\n]*\n"
    found = re.search(heading + r"(.*?)(?=^## |^\[[^\]\n]+\]: |\Z)", changelog, re.DOTALL | re.MULTILINE)
    text = found[1].strip() if found else ""
    if not text:
        message = f"CHANGELOG.md says nothing of {version}: it needs a section ## [{version}]"
        raise ValueError(message)
    return text + "\n"


def main() -> None:
    """Read the tag from the command line."""
    (tag,) = sys.argv[1:]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    try:
        sys.stdout.write(notes(tag, version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
