"""For mypy alone: `world`, which pytest finds through its `pythonpath`, is e2e/world.py.

(With e2e/ itself on `mypy_path`, e2e/conftest.py and /conftest.py would be one module of two files.)
"""

from e2e.world import BETTER as BETTER
from e2e.world import GOOD as GOOD
from e2e.world import REGIONS as REGIONS
from e2e.world import SLOW as SLOW
from e2e.world import Cluster as Cluster
from e2e.world import World as World
