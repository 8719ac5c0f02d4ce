"""Every error of the service, as one tree. `kvservice.http.problems` says how a client sees each.

KvError
├── SettingsError          wrong KV_* variables: exit 2
├── StartError             a port or the store cannot be had: exit 1
├── InvalidRequest         namespace, id or header breaks a rule
├── ValueTooLarge          the body is longer than the limit
├── PreconditionFailed     If-Match or If-None-Match does not hold
├── Unavailable            try again later
│   ├── StoreUnavailable   the store fails or is out of reach
│   ├── StoreBusy          too many operations wait for the store
│   └── ClockSkew          a version would lie too far ahead of this clock
├── CacheUnavailable       the cache fails; clients never see it
└── EnvelopeError          bytes that are no envelope of this build
"""

# ruff: noqa: N818 - errors are named by the fact


class KvError(Exception):
    """Root; the message says what was seen, what was expected, what to do."""


class SettingsError(KvError):
    pass


class StartError(KvError):
    pass


class InvalidRequest(KvError):
    pass


class ValueTooLarge(KvError):
    pass


class PreconditionFailed(KvError):
    """`present` is the record's version, None if there is no record."""

    def __init__(self, present: int | None) -> None:
        self.present = present
        super().__init__(
            "there is no record that the condition could hold for"
            if present is None
            else f"the present version is {present}; read the record again and decide anew"
        )


class Unavailable(KvError):
    pass


class StoreUnavailable(Unavailable):
    pass


class StoreBusy(Unavailable):
    pass


class ClockSkew(Unavailable):
    pass


class CacheUnavailable(KvError):
    pass


class EnvelopeError(KvError):
    pass
