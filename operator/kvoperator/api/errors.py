"""What can go wrong in `api`: one thing. Wrong manifests are findings (`lint.py`), not exceptions.

UnitError      a text is not a duration or a size
"""


class UnitError(ValueError):
    """A text is not a duration or a size."""
