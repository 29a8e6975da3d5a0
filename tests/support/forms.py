"""The forms in which a client's secret travels."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote_plus


def forms_of(client: str, secret: str) -> set[str]:
    """How a secret may be written."""
    if not secret:
        return set()
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode().rstrip("=")
    return {secret, quote_plus(secret), json.dumps(secret)[1:-1], basic}
