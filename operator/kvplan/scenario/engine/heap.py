"""What comes next: a binary heap of moments, and a ring of the clients' timers, which come in order by themselves."""

from kvplan.scenario.engine.arrays import Addresses, compiled, heap_of, tally_of, timers_of
from kvplan.scenario.engine.state import Tally

_TURNS = (1 << 28) - 1


@compiled
def schedule(w: Addresses, at: float, event: int, slot: int, turn: int) -> None:
    tally, heap = tally_of(w), heap_of(w)
    place = tally[Tally.HEAP]
    if place == heap.size:
        tally[Tally.FULL] = 1
        return
    tally[Tally.HEAP] = place + 1
    while place > 0:
        parent = (place - 1) >> 1
        if heap[parent].at <= at:
            break
        heap[place].at = heap[parent].at
        heap[place].what = heap[parent].what
        place = parent
    heap[place].at = at
    heap[place].what = (event << 56) | (slot << 28) | (turn & _TURNS)


@compiled
def next_event(w: Addresses) -> tuple[int, int, int]:
    """Takes the first out: (event, slot, turn)."""
    tally, heap = tally_of(w), heap_of(w)
    what = heap[0].what
    size = tally[Tally.HEAP] - 1
    tally[Tally.HEAP] = size
    at, last = heap[size].at, heap[size].what
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1].at < heap[child].at:
            child += 1
        if heap[child].at >= at:
            break
        heap[place].at = heap[child].at
        heap[place].what = heap[child].what
        place = child
    heap[place].at = at
    heap[place].what = last
    return what >> 56, (what >> 28) & _TURNS, what & _TURNS


@compiled
def set_timer(w: Addresses, at: float, request: int, turn: int) -> None:
    tally, timers = tally_of(w), timers_of(w)
    end = tally[Tally.TIMER_END]
    if end - tally[Tally.TIMER_FIRST] == timers.size:
        tally[Tally.FULL] = 1
        return
    timer = timers[end % timers.size]
    timer.at = at
    timer.request = request
    timer.turn = turn
    tally[Tally.TIMER_END] = end + 1
