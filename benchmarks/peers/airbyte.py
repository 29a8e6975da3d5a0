"""Airbyte's CDK: a declarative source from a manifest."""

from airbyte_cdk.cli.source_declarative_manifest import run  # type: ignore[import-not-found]

run()
