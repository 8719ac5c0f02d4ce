"""Everything that can go wrong in the embedded cluster, as one tree.

KvdevError
|- MissingPartError       a program cannot be had here; says which command installs it
|- RefusedDownloadError   a download's checksum is not the published one
|- BrokenClusterError     a part died, or was not ready in time; carries the end of its log
`- UnknownClusterError    no such cluster, part, pod or image

Whoever shows an error to a person prints the message alone: it is complete.
"""


class KvdevError(Exception):
    """Base of all; the message says what was seen, what was expected and what to do."""


class MissingPartError(KvdevError):
    """A program or package that the cluster needs is not on this machine and cannot be brought here."""


class RefusedDownloadError(KvdevError):
    """What was downloaded is not what its publisher's checksum promises."""


class BrokenClusterError(KvdevError):
    """A part died, did not get ready before its deadline, or the cluster is not running."""


class UnknownClusterError(KvdevError):
    """The name given belongs to no cluster, part, pod or image."""
