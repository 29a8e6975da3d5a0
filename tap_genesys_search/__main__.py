"""The command ``tap-genesys-search``, and ``python -m tap_genesys_search``."""

from __future__ import annotations

import gc
import signal


def main() -> None:
    """Run the tap; half of a short run is the import of the SDK."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # From here until the tap has its own handler a Ctrl-C ends it as a SIGTERM does: there is nothing to tell yet.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What an import makes stays: looking through it for rubbish, then and at each later collection, finds none.
    gc.disable()
    try:
        from tap_genesys_search.tap import TapGenesysSearch  # noqa: PLC0415 - it is what this is about

        gc.freeze()
    finally:
        gc.enable()
    TapGenesysSearch.cli()


if __name__ == "__main__":
    main()
