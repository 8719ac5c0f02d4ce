"""The images of the demo and of the end-to-end tests, built from this tree."""

from pathlib import Path

import kvoperator
import kvplan
import kvservice
from kvdev import images

FIRST, GOOD, SLOW = "kvservice:1.0.0", "kvservice:1.1.0", "kvservice:1.2.0-slow"
OPERATOR = "kvoperator:dev"

_SERVICE = Path(kvservice.__file__).parent
_OPERATOR = Path(kvoperator.__file__).parent
_PLANNER = Path(kvplan.__file__).parent
_SLOW_RELEASE = Path(__file__).parent / "slow_release"


def build_all() -> None:
    """Put every image into the store, in the place of older ones of its name. Raises KvdevError."""
    images.build_valkey()
    images.build(OPERATOR, packages=[_OPERATOR, _PLANNER], programs={"kvoperator": "kvoperator.runtime.main:main"})
    for release in (FIRST, GOOD):
        images.build(release, packages=[_SERVICE], programs={"kvservice": "kvservice.main:main"})
    images.build(SLOW, packages=[_SERVICE, _SLOW_RELEASE], programs={"kvservice": "slow_release:main"})
