"""Nothing is left out of the tests of the README and the docs, all links lead somewhere, and all blocks can be read.

What covers a block: `test_docs_commands.py` checks the commands for a shell, `test_docs_examples.py` runs the examples;
the rest is named below.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.blocks import DOCS, ROOT, Block
from tests.support.pages import BLOCKS, ELSEWHERE, HERE, OPEN, README

# Nothing is left out

#: Untagged blocks: what covers them, by the beginning of the text.
OUTPUTS = {
    (README, "[start"): "a drawing; docs/how-it-works.md has the pictures",
    (README, "Read all"): "test_docs_examples.py: test_a_summary_is_what_a_run_writes",
    ("audit.md", "Conversations by day"): "test_docs_examples.py: test_an_audit_looks_like_the_example",
    ("not-paging.md", "20,000 conversations"): "test_docs_paging.py runs the script and compares the form",
    ("on-call.md", "FAILURE"): "test_docs_examples.py: test_a_failure_is_what_a_run_writes",
    ("on-call.md", "50 %"): "test_progress_bar.py compares bars on a terminal",
    ("on-call.md", "Read 29,259"): "test_progress.py compares such lines whole",
}
PYTHON = {
    (README, "from tap_genesys_search import ConversationSearchClient, GenesysAuth\n"): (
        "test_docs_examples.py: test_the_generator_reads"
    ),
    ("audit.md", "from airflow"): "test_docs_commands.py: test_the_command_in_the_airflow_task_has_these_options",
    ("shared-redis.md", "from tap_genesys_search import ConversationSearchClient"): (
        "test_docs_examples.py: test_shared_redis_in_python"
    ),
    ("shared-redis.md", "import dataclasses"): "test_shared_tokens.py runs the store",
}
OTHERS = {
    "sql": ("audit.md",),
    "yaml": (README, "audit.md"),
    "console": (README, "audit.md"),
    "json": (README, "airflow.md", "how-it-works.md"),
}


@pytest.mark.parametrize("block", HERE, ids=str)
def test_something_covers_every_block(block: Block) -> None:
    if block.language == "sh":
        return
    if block.language in OTHERS:
        assert block.page in OTHERS[block.language], "no test of this page's blocks in that language"
        return
    known = {"": OUTPUTS, "python": PYTHON}[block.language]
    assert [key for key in known if key[0] == block.page and block.text.startswith(key[1])], "nothing covers this"


def test_what_is_said_to_cover_a_block_is_there() -> None:
    """Neither the block nor the test has gone."""
    for page, start in [*OUTPUTS, *PYTHON]:
        assert [block for block in BLOCKS if block.page == page and block.text.startswith(start)], (page, start)
    for why in [*OUTPUTS.values(), *PYTHON.values(), *ELSEWHERE.values()]:
        if why.startswith("a drawing"):
            continue
        found = re.match(r"(test_\w+\.py)(?:: (\w+)$)?", why)
        assert found is not None, why
        text = (Path(__file__).parent / found[1]).read_text(encoding="utf-8")
        assert found[2] is None or f"def {found[2]}(" in text, why


def test_every_page_is_listed() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8")))
    assert listed == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


# Links


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_nowhere(page: Path, target: str) -> bool:
    """Whether a link to a file, or to a heading in it, is broken."""
    name, _, anchor = target.partition("#")
    file = page.parent / name if name else page
    return not file.exists() or bool(anchor and anchor not in anchors(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", OPEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    # Titles may be broken over two lines, addresses are not.
    targets = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if leads_nowhere(path, target)] == []


@pytest.mark.parametrize(
    ("target", "broken"),
    [
        ("README.md", False),
        ("README.md#two-commands", False),
        ("docs/on-call.md#genesys-search-doctor", False),
        ("#two-commands", False),
        ("README.md#three-commands", True),
        ("NOTHING.md", True),
    ],
)
def test_a_broken_link_is_found(target: str, broken: bool) -> None:
    assert leads_nowhere(ROOT / "README.md", target) is broken


def test_the_modules_that_a_page_names_are_there() -> None:
    named = re.findall(
        r"`(\w+\.py|\w+/)`", (DOCS / "how-it-works.md").read_text(encoding="utf-8").partition("## Where")[2]
    )
    assert named
    assert [name for name in named if not (ROOT / "tap_genesys_search" / name).exists()] == []


# Every block can be read


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "sh"], ids=str)
def test_a_shell_can_read_it(block: Block) -> None:
    subprocess.run([shutil.which("bash") or "bash", "-n", "-c", block.text], check=True, timeout=60)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_json_is_json(block: Block) -> None:
    assert isinstance(json.loads(block.text), dict)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=str)
def test_yaml_is_yaml(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict)
