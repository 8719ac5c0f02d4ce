"""What can go wrong in the operator's shell; the core raises nothing of its own.

OperatorError
├── SettingsError           an environment variable says something we cannot use
├── NotServedError          the API server lacks a kind we need, or forbids us to list it
├── StatusUnreadableError   a KVCluster's status is not one we wrote: going on would forget its rollout
└── ApiError                the API server, or the way to it
    ├── ConflictError       another manager owns fields that we want (`fields`, `managers`, `by_hand`)
    ├── StaleError          the object has moved on since we read it: look again
    ├── RefusedError        it will say the same again until something is changed (invalid, forbidden, unknown field)
    └── UnreachableError    nothing, too late, or "try later" was answered
"""


class OperatorError(Exception):
    """Anything the operator can say about itself in one line."""


class SettingsError(OperatorError):
    """An environment variable says something we cannot use."""


class NotServedError(OperatorError):
    """The API server lacks a kind we need, or forbids us to list it."""


class StatusUnreadableError(OperatorError):
    """A KVCluster's status is not one we wrote."""


class ApiError(OperatorError):
    """The API server refused, or could not be reached. The text names the verb and the object."""


class ConflictError(ApiError):
    """Another manager owns fields that we want. `by_hand`: a person's kubectl wrote them, nobody applied them."""

    def __init__(self, what: str, fields: tuple[str, ...], managers: tuple[str, ...], *, by_hand: bool) -> None:
        whose = f"{', '.join(fields)} belongs to {', '.join(managers)}"
        super().__init__(f"{what}: {whose}; take the field out of what that manager applies, or delete the object")
        self.fields, self.managers, self.by_hand = fields, managers, by_hand


class StaleError(ApiError):
    """The object has moved on since we read it."""


class RefusedError(ApiError):
    """The API server will say the same again until something is changed."""


class UnreachableError(ApiError):
    """Nothing, too late, or "try later" was answered."""
