"""The OpenAPI document is the routes', and the one that is checked in."""

import json
from importlib.metadata import version
from pathlib import Path

import httpx
import jsonschema_rs
from fastapi.routing import APIRoute
from kvhttp import Service
from starlette.routing import Route

from kvservice.http.door import Limits
from kvservice.http.openapi import document
from kvservice.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "openapi.json"
DOCUMENT = document(
    Limits(Settings.model_fields["max_id_bytes"].default, Settings.model_fields["max_value_bytes"].default),
    version("kvcluster"),
)
OPERATIONS = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]


def test_the_checked_in_document_is_the_one_that_is_served_by_default() -> None:
    assert json.loads(PAGE.read_text()) == json.loads(json.dumps(DOCUMENT)), "run `make generate`"


async def test_it_is_served(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert set(answer.json()["paths"]) == set(DOCUMENT["paths"])


async def test_it_lists_every_route_and_nothing_else(service: Service) -> None:
    routes = {
        (route.path, method)
        for route in service.app().routes
        if isinstance(route, APIRoute | Route)
        for method in route.methods or ()
    }
    listed = {(path, method.upper()) for path, operations in DOCUMENT["paths"].items() for method in operations}

    assert routes - {("/openapi.json", "HEAD")} == listed


def test_each_operation_has_a_name_of_its_own_and_a_summary() -> None:
    names = [operation["operationId"] for operation in OPERATIONS]

    assert len({*names}) == len(names)
    assert all(operation["summary"] for operation in OPERATIONS)


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for part in text.split('"$ref": "#/')[1:]:
        target = DOCUMENT
        for name in part.partition('"')[0].split("/"):
            target = target[name]


def test_examples_are_what_their_schemas_say() -> None:
    checked = 0
    for operation in OPERATIONS:
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media in (media for content in contents for media in content.get("content", {}).values()):
            if "example" in media and "$ref" in media["schema"]:
                jsonschema_rs.validate({**media["schema"], "components": DOCUMENT["components"]}, media["example"])
                checked += 1
    assert checked > 100
