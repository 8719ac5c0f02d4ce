"""What comes next: a binary heap of moments, and a ring of the clients' timers, which come in order by themselves."""

from kvplan.scenario.engine.state import Tally, World, compiled

_TURNS = (1 << 28) - 1


@compiled
def schedule(w: World, at: float, event: int, slot: int, turn: int) -> None:
    what = (event << 56) | (slot << 28) | (turn & _TURNS)
    place = w.tally[Tally.HEAP]
    if place == w.heap_at.size:
        w.tally[Tally.FULL] = 1
        return
    w.tally[Tally.HEAP] = place + 1
    while place > 0:
        parent = (place - 1) >> 1
        if w.heap_at[parent] <= at:
            break
        w.heap_at[place] = w.heap_at[parent]
        w.heap_what[place] = w.heap_what[parent]
        place = parent
    w.heap_at[place] = at
    w.heap_what[place] = what


@compiled
def next_event(w: World) -> tuple[int, int, int]:
    """Takes the first out: (event, slot, turn)."""
    what = w.heap_what[0]
    size = w.tally[Tally.HEAP] - 1
    w.tally[Tally.HEAP] = size
    at, last = w.heap_at[size], w.heap_what[size]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and w.heap_at[child + 1] < w.heap_at[child]:
            child += 1
        if w.heap_at[child] >= at:
            break
        w.heap_at[place] = w.heap_at[child]
        w.heap_what[place] = w.heap_what[child]
        place = child
    w.heap_at[place] = at
    w.heap_what[place] = last
    return what >> 56, (what >> 28) & _TURNS, what & _TURNS


@compiled
def set_timer(w: World, at: float, request: int, turn: int) -> None:
    end = w.tally[Tally.TIMER_END]
    size = w.timer_at.size
    if end - w.tally[Tally.TIMER_FIRST] == size:
        w.tally[Tally.FULL] = 1
        return
    w.timer_at[end % size] = at
    w.timer_request[end % size] = request
    w.timer_turn[end % size] = turn
    w.tally[Tally.TIMER_END] = end + 1
