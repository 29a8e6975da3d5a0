"""The process that taps are started from, as the text that its interpreter is given."""

from __future__ import annotations

# Imports the tap, which takes most of a short run, and forks for every run: all else is as in a process of its own. The
# clock of the machine stands where a test wants it. What is imported is frozen: at its end a run would else look for
# garbage in it, which takes as long as all the rest, since every object looked at is copied first.
SCRIPT = """
import gc, json, os, sys, time
from tap_genesys_search.tap import TapGenesysSearch

def is_child():
    for line in sys.stdin:
        job = json.loads(line)
        if pid := os.fork():
            print(pid, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            continue
        os.environ.clear()
        os.environ.update(job["env"])
        os.chdir(job["cwd"])
        for number, path in enumerate([os.devnull, *job["output"]]):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.argv[1:] = job["args"]
        if job["now"] is not None:
            now, begun = job["now"], time.monotonic()
            time.time = lambda: now + time.monotonic() - begun
        return True
    return False

gc.freeze()
if is_child():
    TapGenesysSearch.cli()
"""
