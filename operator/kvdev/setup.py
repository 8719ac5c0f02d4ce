"""`python -m kvdev.setup`: brings every part of the cluster to this machine, once; `make` calls it.

Writes `build/setup.json` in the current directory: `setup_s`, all of it since `make` was called (SETUP_BEGUN, seconds
since 1970) or since here, and `compile_s`, the control plane's share.
"""

import json
import os
import sys
import time
from pathlib import Path

from kvdev import parts
from kvdev.errors import KvdevError, MissingPartError
from kvdev.parts import cassandra
from kvdev.parts.store import Say

REPORT = Path("build", "setup.json")


def main() -> int:
    """Exit code 0 when all is there; else 1, after one message that says what is missing."""
    begun = time.time()
    make_begun = float(os.environ.get("SETUP_BEGUN") or begun)

    def say(line: str) -> None:
        print(f"setup: [{time.time() - begun:4.0f} s] {line}", file=sys.stderr, flush=True)

    try:
        found = parts.find(say)
        _bring_cassandra(say)
    except KvdevError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: stopped; what was complete is kept, the next run goes on from there", file=sys.stderr)
        return 130
    REPORT.parent.mkdir(exist_ok=True)
    seconds = {"setup_s": round(time.time() - make_begun, 1), "compile_s": round(found.plane_s, 1)}
    REPORT.write_text(json.dumps(seconds) + "\n")
    say("every part is here")
    return 0


def _bring_cassandra(say: Say) -> None:
    """For those who want one; a machine without Java can do all the rest."""
    try:
        cassandra.jars(say)
    except MissingPartError as error:
        say(f"going on without Cassandra: {error}")


if __name__ == "__main__":
    sys.exit(main())
