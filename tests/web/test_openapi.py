"""The OpenAPI document: valid, true to the routes, and the same every time."""

import json
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from collector.store.api_tokens import SCOPES
from collector.tickets.ticket import Status
from web import api, host_resources, openapi, resources

DOCUMENT: dict[str, Any] = json.loads(json.dumps(openapi.document()))


def test_the_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.1")


def test_the_document_and_the_routes_name_the_same_methods_of_the_same_paths() -> None:
    described = {(path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods}
    routed = {(path.replace("<", "{").replace(">", "}"), method) for path, methods in api.ROUTES for method in methods}
    assert described == routed


def test_every_operation_says_the_scope_that_its_route_asks_for() -> None:
    for path, methods in api.ROUTES:
        for method, (scope, _) in methods.items():
            operation = DOCUMENT["paths"][path.replace("<", "{").replace(">", "}")][method.lower()]
            assert not scope or scope in operation["description"]
            assert scope in {*SCOPES, ""}
            assert (operation.get("security") == []) == (not scope)


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


def test_the_fields_of_a_body_are_those_that_are_read() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert set(schemas["NewTicket"]["properties"]) == set(resources.NEW_TICKET)
    assert set(schemas["TicketPatch"]["properties"]) == set(resources.PATCH)
    assert set(schemas["NewComment"]["properties"]) == set(resources.NEW_COMMENT)
    assert set(schemas["HostPatch"]["properties"]) == set(host_resources.PATCH)
    assert set(schemas["NewHostComment"]["properties"]) == set(host_resources.NEW_COMMENT)


def test_the_states_are_the_products() -> None:
    assert DOCUMENT["components"]["schemas"]["Ticket"]["properties"]["status"]["enum"] == [
        each.value for each in Status
    ]


def test_every_schema_is_used() -> None:
    text = json.dumps(DOCUMENT)
    assert [name for name in DOCUMENT["components"]["schemas"] if f'#/components/schemas/{name}"' not in text] == []
