"""Makes a value that satisfies a JSON Schema, for tool arguments and structured answers of the demo provider."""

from typing import Any

_MAX_DEPTH = 16
_FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
}


def example(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """The plainest value of the schema; unknown shapes become a string."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return "demo"
    if "$ref" in schema:
        return example(_resolve(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example(schema[key][0], root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "string"
    match kind:
        case "object":
            properties = schema.get("properties") or {}
            return {name: example(part, root, depth + 1) for name, part in properties.items()}
        case "array":
            return [example(schema.get("items"), root, depth + 1) for _ in range(max(1, schema.get("minItems", 1)))]
        case "integer":
            return int(schema.get("minimum", 3))
        case "number":
            return float(schema.get("minimum", 1.5))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _FORMATS.get(schema.get("format", ""), "Oslo")


def _resolve(reference: str, root: Any) -> Any:
    found = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    return found
