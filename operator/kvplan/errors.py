"""What kvplan tells its caller instead of a number.

KvplanError
├── InputError       an input makes no sense: what was seen, what was expected
└── UnstableError    a station is asked for more than it can serve: its queue has no end, so there is no latency
"""


class KvplanError(ValueError):
    """Base of all; the message is a sentence for a user."""


class InputError(KvplanError):
    pass


class UnstableError(KvplanError):
    """`load` is offered work over capacity, 1 or more, of the station named `station`."""

    def __init__(self, station: str, load: float, rate: float) -> None:
        super().__init__(
            f"unstable: at {rate:.6g} requests/s, {station} gets {load:.2f} times the work it can do, so its queue "
            f"grows without end; give it more servers, or send it less than {rate / load:.6g} requests/s"
        )
        self.station, self.load, self.rate = station, load, rate
