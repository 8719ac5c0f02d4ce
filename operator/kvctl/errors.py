"""What kvctl tells a user instead of going on.

KvctlError                    one line on stderr, exit 1
├── UsageError                a value on the command line makes no sense; exit 2
├── ClusterError              the API server said no, or did not answer
│   ├── NotFoundError         the object, or its kind, is not there
│   └── UnreachableError      no kubeconfig, no answer in time, or no trust
├── TargetError               there is nobody to send load to
├── MeasureError              what was to be measured could not be seen
└── DemoError                 the demo could not be carried through, or what it showed did not hold

A message says what was seen, what was expected and what to do. `kvctl.main` prints it; nobody else does.
"""


class KvctlError(Exception):
    """Base of all; `exit_code` is the process's."""

    exit_code = 1


class UsageError(KvctlError):
    exit_code = 2


class ClusterError(KvctlError):
    pass


class NotFoundError(ClusterError):
    pass


class UnreachableError(ClusterError):
    pass


class TargetError(KvctlError):
    pass


class MeasureError(KvctlError):
    pass


class DemoError(KvctlError):
    pass
