"""What kvplan tells its caller instead of a number.

KvplanError
├── InputError       an input makes no sense: what was seen, what was expected
└── UnstableError    a station is asked for more than it can serve: its queue has no end, so there is no latency
    └── AmplifiedError   … only because of its clients' retries or hedges, which make each other more
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


class AmplifiedError(UnstableError):
    """`own` is the load without what the `cause`, "retries" or "hedges", adds."""

    def __init__(self, station: str, load: float, rate: float, cause: str, own: float) -> None:
        KvplanError.__init__(
            self,
            f"unstable by its {cause}: at {rate:.6g} requests/s, {station} has a load of {own:.2f} without them, but "
            f"they slow it down and so make more of them, up to {load:.2f} times the work it can do; give it more "
            f"servers, or begin {cause} later",
        )
        self.station, self.load, self.rate = station, load, rate
        self.cause, self.own = cause, own
