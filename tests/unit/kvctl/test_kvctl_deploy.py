"""What `kvctl dev up --storage` applies."""

from pathlib import Path

import pytest

from kvctl.demo.deploy import Storage, manifest
from kvdev.state import ClusterState
from kvoperator.api.lint import Severity, lint


@pytest.mark.parametrize("storage", Storage)
def test_the_kvcluster_is_sound_and_has_the_regions_of_the_cluster(storage: Storage, tmp_path: Path) -> None:
    regions = {"eu-west": ("a",), "mars": ("x", "y")}
    wanted = manifest(ClusterState(name="dev", slot=0, regions=regions, directory=tmp_path), storage)

    assert [finding for finding in lint(wanted) if finding.severity is Severity.ERROR] == []
    assert {region["name"]: tuple(region["zones"]) for region in wanted["spec"]["regions"]} == regions
    assert list(wanted["spec"]["storage"]) == [storage.value]
