"""The package without Singer: a generator, whose conversations are looked at and left."""

import sys

from tap_genesys_search import ConversationSearchClient, GenesysAuth

base_url, client_id, client_secret = sys.argv[1:4]
is_printing = "--print" in sys.argv


def main() -> None:
    auth = GenesysAuth(client_id, client_secret, base_url)
    client = ConversationSearchClient(auth, base_url, requests_per_minute=100_000)
    if is_printing:
        import json  # noqa: PLC0415 - a part of what is timed

        for conversation in client.stream_conversations("*"):
            print(json.dumps(conversation, default=float))
        return
    count = 0
    for conversation in client.stream_conversations("*"):
        count += bool(conversation["id"])
    print(count)


main()
