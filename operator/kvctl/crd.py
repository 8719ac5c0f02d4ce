"""`kvctl crd`: the CRD, to be piped into `kubectl apply -f -`."""

from kvoperator.api.crd import text


def crd() -> None:
    """Print the KVCluster CRD.

    Example:

      kvctl crd | kubectl apply --server-side -f -
    """
    print(text(), end="")
