"""A local Genesys Cloud to try everything against: search API, faults, and a world that moves.

    with SandboxServer(WorldConfig(conversations=1_000), Faults(p_429=0.1), Movement(move_every_search=1)) as sandbox:
        sandbox.base_url, sandbox.truth(), sandbox.stats

A client `sandbox` with the secret `sandbox-secret` gets a token at `/oauth/token` and searches at `/api/v2/search`.
"""

from tap_genesys_search.sandbox.app import SandboxApp, create_app
from tap_genesys_search.sandbox.faults import Faults
from tap_genesys_search.sandbox.movement import Movement
from tap_genesys_search.sandbox.server import SandboxServer, serve
from tap_genesys_search.sandbox.tokens import Client
from tap_genesys_search.sandbox.world import World, WorldConfig

__all__ = ["Client", "Faults", "Movement", "SandboxApp", "SandboxServer", "World", "WorldConfig", "create_app", "serve"]
