"""The objects that every cluster starts with."""

import copy
from typing import Any

from kvdev.objects import gateway, with_prometheus

DEPLOYMENT: dict[str, Any] = {
    "kind": "Deployment",
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {
                        "env": [
                            {"name": "KVOPERATOR_PROMETHEUS_URL", "value": "http://prometheus:9090"},
                            {"name": "OTHER", "value": "x"},
                        ]
                    },
                    {"name": "without"},
                ]
            }
        }
    },
}


def test_the_operator_is_told_where_prometheus_is() -> None:
    told = with_prometheus(copy.deepcopy(DEPLOYMENT), "http://127.16.0.3:19090")
    variables = told["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [variable["value"] for variable in variables] == ["http://127.16.0.3:19090", "x"]


def test_other_objects_stay_as_they_are() -> None:
    assert with_prometheus({"kind": "Namespace"}, "http://x") == {"kind": "Namespace"}


def test_a_gateway_takes_routes_of_all_namespaces_on_a_port_that_needs_no_root() -> None:
    (listener,) = gateway("eu-west")["spec"]["listeners"]
    assert (listener["port"], listener["allowedRoutes"]["namespaces"]["from"]) == (8080, "All")
