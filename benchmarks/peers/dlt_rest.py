"""dlt: its REST source, its cursor paginator, and files of JSON lines."""

import sys

import dlt  # type: ignore[import-not-found]
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]

base_url, client_id, client_secret, folder = sys.argv[1:5]

source = rest_api_source(
    {
        "client": {
            "base_url": base_url,
            "auth": {
                "type": "oauth2_client_credentials",
                "access_token_url": f"{base_url}/oauth/token",
                "client_id": client_id,
                "client_secret": client_secret,
                "access_token_request_data": {"scope": "search:query"},
            },
            "paginator": {"type": "cursor", "cursor_path": "nextPage", "cursor_body_path": "page"},
        },
        "resources": [
            {
                "name": "conversations",
                "primary_key": "id",
                "write_disposition": "append",
                "max_table_nesting": 0,
                "endpoint": {
                    "path": "api/v2/search",
                    "method": "POST",
                    "json": {
                        "query": "*",
                        "type": "conversation",
                        "size": 200,
                        "sort": [{"field": "timestamp", "direction": "asc"}],
                    },
                    "data_selector": "results",
                },
            }
        ],
    }
)
pipeline = dlt.pipeline(
    "genesys",
    pipelines_dir=f"{folder}/pipelines",
    destination=dlt.destinations.filesystem(f"file://{folder}/files"),
    dataset_name="genesys",
)
pipeline.run(source, loader_file_format="jsonl")
