"""The plain script: requests, json, print, and the cursor of the answers."""

import json
import sys

import requests

base_url, client_id, client_secret = sys.argv[1:4]
is_printing = "--no-print" not in sys.argv


def main() -> None:
    session = requests.Session()
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret,
        "scope": "search:query",
    }
    token = session.post(f"{base_url}/oauth/token", data=form, timeout=60)
    token.raise_for_status()
    session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
    body = {
        "query": "*",
        "type": "conversation",
        "size": 200,
        "sort": [{"field": "timestamp", "direction": "asc"}],
        "page": 1,
    }
    while True:
        response = session.post(f"{base_url}/api/v2/search", json=body, timeout=60)
        response.raise_for_status()
        page = json.loads(response.content)
        for record in page["results"]:
            if is_printing:
                print(json.dumps(record))
        if "nextPage" not in page:
            break
        body["page"] = page["nextPage"]


main()
