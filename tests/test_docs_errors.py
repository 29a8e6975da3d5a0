"""The table of errors in docs/errors.md: each error of the code has a row, and each row an error."""

from __future__ import annotations

import re

from tests.support.error_messages import HEADINGS, ROWS_OF_WRAPPERS, WRAPPERS, is_in, messages, rows


def test_every_error_has_a_row_among_those_of_its_kind() -> None:
    found = messages()
    assert len(found) > 90
    table = rows()
    missing = [
        each for each in found if each[2] not in WRAPPERS and not any(is_in(row, each[2]) for row in table[each[1]])
    ]
    assert missing == []
    # An exclusion that excludes nothing any more has to go.
    assert {text for _, _, text in found} >= WRAPPERS.keys()


def test_every_row_is_of_an_error_that_there_is() -> None:
    """One that is renamed leaves no old row behind."""
    texts = [text for _, _, text in messages()]
    known = [text for text in texts if text not in WRAPPERS]
    stale = [
        line
        for kind in HEADINGS
        for row in rows()[kind]
        for line in re.findall(r"`([^`]+)`", row)
        if not any(is_in(line, text) for text in known) and not line.startswith(ROWS_OF_WRAPPERS)
    ]
    assert stale == []
