"""Machine code: numba's njit, kept for the next process where there is a folder to keep it in.

What is compiled takes and gives typed arrays and numbers only. A function's kept code is dropped when its own file
changes, not when a file that it calls into does: a compiled function calls only those of its own module.
"""

from collections.abc import Callable
from typing import TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compiled at its first call. In a read-only installation without a home folder it is compiled in each process
    anew, where numba would refuse: it finds no folder for its cache."""
    try:
        return njit(cache=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:
        return njit(function)  # type: ignore[no-any-return]


def inner(function: Function) -> Function:
    """Compiled as a part of the compiled functions that call it, and kept with them."""
    return njit(function)  # type: ignore[no-any-return]
