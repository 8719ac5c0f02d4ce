"""What can go wrong in `api`.

ApiError
└── UnitError      a text is not a duration or a size (also a ValueError)
"""


class ApiError(Exception):
    """Anything wrong with what a user wrote."""


class UnitError(ApiError, ValueError):
    """A text that is not a duration or a size."""
