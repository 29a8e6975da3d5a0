"""Environments of their own for what must not meet what the tap needs; all are made before anything is timed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks.process import environment

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What each environment is made of, pinned.
PACKAGES = {
    "plain": ("requests==2.34.2", "urllib3==2.8.0"),
    "template": ("singer-sdk==0.54.9", "requests==2.34.2", "urllib3==2.8.0"),
    "dlt": ("dlt==1.31.0", "requests==2.34.2", "urllib3==2.8.0"),
    "airbyte": ("airbyte-cdk==7.39.1",),
    "postgres": ("meltanolabs-target-postgres==0.8.1",),
}

# uv takes such an environment away when its command ends, so one stays until all is measured.
_KEEPER = "import sys; print(sys.executable, flush=True); sys.stdin.read()"


class Environments:
    """Makes them when they are asked for, and keeps them until the end of the block."""

    def __init__(self) -> None:
        """Make none yet."""
        self._stack = ExitStack()
        self._pythons: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Return the environments."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take them away."""
        self._stack.close()

    def prepare(self, names: Iterable[str]) -> None:
        """Make those of these names that an environment is known for."""
        for name in names:
            if name in PACKAGES:
                self.python(name)

    def python(self, name: str) -> str:
        """Return the interpreter of an environment."""
        if name not in self._pythons:
            self._pythons[name] = self._make(PACKAGES[name])
        return self._pythons[name]

    def program(self, name: str, program: str) -> str:
        """Return a program of an environment."""
        return str(Path(self.python(name)).with_name(program))

    def _make(self, packages: tuple[str, ...]) -> str:
        uv = os.environ.get("UV") or shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        base = getattr(sys, "_base_executable", sys.executable)
        argv = [uv, "run", "--quiet", "--no-project", "--isolated", "--python", base]
        argv += [part for package in packages for part in ("--with", package)]
        keeper = self._stack.enter_context(
            subprocess.Popen(
                [*argv, "python", "-c", _KEEPER],
                env=environment({"UV_COMPILE_BYTECODE": "1"}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        if keeper.stdout is None or not (python := keeper.stdout.readline().strip()):
            message = f"no environment with {', '.join(packages)}"
            raise RuntimeError(message)
        return python
