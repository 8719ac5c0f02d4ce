"""What pods know that others must not: the tokens that all pods of a cluster share, and the Secrets of users.

The tokens follow from the KVCluster's uid, so that every pass comes to the same ones. They are as secret as that uid:
whoever may read the KVCluster can work them out. Who needs more makes the Secret first, or puts other values into it:
the operator makes it where it is missing, and neither reads it nor touches it again.
"""

import hmac
from collections.abc import Mapping

from kvoperator.api.status import Revision
from kvoperator.core import naming
from kvoperator.core.manifests.base import Cluster, Object, child, labels
from kvoperator.core.revision import AUTH_FOLDER, CASSANDRA_FOLDER

_FOLDERS = {"auth": (AUTH_FOLDER, "auth.json"), "cassandra": (CASSANDRA_FOLDER, "ca.crt")}
_TOKENS = ("KV_SESSION_SECRET", "KV_RELAY_TOKEN")


def tokens(cluster: Cluster) -> Object:
    """What session tokens are signed with, and what opens the change feed."""
    own = labels(cluster, None, "service")
    values = {name: hmac.digest(cluster.uid.encode(), name.encode(), "sha256").hex() for name in _TOKENS}
    return child(cluster, "v1/Secret", naming.tokens(cluster.name), own, {"stringData": values})


def from_tokens(cluster: Cluster) -> Object:
    """All of them as environment variables."""
    return {"secretRef": {"name": naming.tokens(cluster.name)}}


def passwords(revision: Revision) -> list[Object]:
    """User and password of an external Cassandra, if its Secret has them."""
    if not (name := revision.secrets.get("cassandra")):
        return []
    keys = {"KV_CASSANDRA_USERNAME": "username", "KV_CASSANDRA_PASSWORD": "password"}
    return [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key, "optional": True}}}
        for variable, key in keys.items()
    ]


def volumes(revision: Revision) -> list[Object]:
    return [
        {
            "name": purpose,
            "secret": {"secretName": name, "items": [{"key": _FOLDERS[purpose][1], "path": _FOLDERS[purpose][1]}]},
        }
        for purpose, name in _files(revision).items()
    ]


def mounts(revision: Revision) -> list[Object]:
    return [{"name": purpose, "mountPath": _FOLDERS[purpose][0], "readOnly": True} for purpose in _files(revision)]


def _files(revision: Revision) -> Mapping[str, str]:
    """What for -> Secret, of those that are read as files."""
    named = {"auth": "KV_AUTH_FILE", "cassandra": "KV_CASSANDRA_CA"}
    return {purpose: name for purpose, name in revision.secrets.items() if named[purpose] in revision.config}
