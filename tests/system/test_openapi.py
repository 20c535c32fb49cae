"""openapi.yaml is the source of truth of REST: it is valid, its examples are of its schemas, and the routes are its paths."""

import pathlib
import re

import jsonschema
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = yaml.safe_load((ROOT / "openapi.yaml").read_text())
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
ROUTE = re.compile(r'\{(NULL|"[A-Z]+"), "(/[^"]*)", (\w+), (\w+), (\w+), (\w+)\}')


def routes():
    """(method, path) → (scope, handler) of the table in server/routes.c."""
    found = {}
    for method, path, _, scope, call, serve in ROUTE.findall((ROOT / "server/routes.c").read_text()):
        found[(method.strip('"').lower() if method != "NULL" else "get", path)] = (scope, call if call != "NULL" else serve)
    return found


def operations():
    return {(m, path): op for path, item in SPEC["paths"].items() for m, op in item.items() if m in METHODS}


def resolve(node):
    while "$ref" in node:
        target = SPEC
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def examples():
    """(where, schema, value) of every example of a body or parameter."""

    def of_content(where, content):
        for kind, media in content.items():
            values = [media["example"]] if "example" in media else []
            values += [e["value"] for e in media.get("examples", {}).values()]
            for i, value in enumerate(values):
                yield f"{where} {kind} {i}", media["schema"], value

    for (method, path), op in operations().items():
        where = f"{method} {path}"
        yield from of_content(where, op.get("requestBody", {}).get("content", {}))
        for status, response in op["responses"].items():
            yield from of_content(f"{where} {status}", resolve(response).get("content", {}))
        for parameter in map(resolve, op.get("parameters", []) + SPEC["paths"][path].get("parameters", [])):
            if "example" in parameter:
                yield f"{where} {parameter['name']}", parameter["schema"], parameter["example"]


def test_the_document_is_valid_openapi_3_1():
    assert SPEC["openapi"].startswith("3.1")
    errors = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in OpenAPIV31SpecValidator(SPEC).iter_errors()]
    assert errors == []


@pytest.mark.parametrize("where,schema,value", [pytest.param(*e, id=e[0]) for e in examples()])
def test_every_example_is_of_its_schema(where, schema, value):
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": SPEC["components"], **schema}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)


def test_the_routes_of_the_server_are_the_paths_of_the_document():
    assert len(routes()) > 20
    assert set(routes()) == set(operations())


def test_every_operation_names_the_scope_of_its_route():
    for key, op in operations().items():
        scope = routes()[key][0]
        if scope == "0":
            assert op["security"] == [], key
            continue
        word = scope.removeprefix("SCOPE_").lower().replace("_", ":", 1)
        assert f"`{word}`" in op["description"], key
        assert {"401", "403"} <= set(op["responses"]), key


def test_every_error_is_a_problem():
    for key, op in operations().items():
        for status, response in op["responses"].items():
            content = resolve(response).get("content", {})
            if int(status) >= 400 and key[1] not in ("/ws/health", "/readyz", "/livez"):
                assert list(content) == ["application/problem+json"], (key, status)


def test_every_call_with_an_id_in_its_path_can_be_400():
    for (method, path), op in operations().items():
        if "{" in path:
            assert "400" in op["responses"], (method, path)
