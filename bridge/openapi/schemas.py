"""JSON Schema of the shapes in requests and answers, as OpenAPI 3.1 takes it.

Source: OpenAPI Specification 3.1.1, Schema Object; JSON Schema 2020-12.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

Schema = dict[str, Any]

PLACE: Final = "#/components/schemas/"


class _Generator(GenerateJsonSchema):
    """Says what is on the wire: what has no value is left out.

    The mode "validation" is for bodies in JSON, where null counts as an absent field if the field
    may be absent (UnifiedAPI, Types).
    """

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Leave the null out: whether a field may be absent decides."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Leave a default of null out."""
        described = super().default_schema(schema)
        if described.get("default", ...) is None:
            del described["default"]
        return described if self.mode == "serialization" else _or_null(described)

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: the name of the field is its title."""
        return False


def _or_null(described: JsonSchemaValue) -> JsonSchemaValue:
    about = {"default": described.pop("default")} if "default" in described else {}
    forms = described.pop("anyOf", None) or [described]
    return {"anyOf": [*forms, {"type": "null"}], **about}


class Schemas:
    """The schemas of types, and the components they share, which go by their titles.

    ``bodies`` are the types of JSON in requests, ``replies`` those in answers; ``parameters`` are
    shapes whose fields are parameters, and no components.
    """

    def __init__(
        self, bodies: Iterable[Any], replies: Iterable[Any], parameters: Iterable[Any]
    ) -> None:
        parameters = list(parameters)
        adapters: dict[str, tuple[JsonSchemaMode, TypeAdapter[Any]]] = {
            **{_key(kind): ("validation", TypeAdapter(kind)) for kind in bodies},
            **{
                _key(kind): ("serialization", TypeAdapter(kind)) for kind in (*replies, *parameters)
            },
        }
        found, rest = TypeAdapter.json_schemas(
            [(key, mode, adapter) for key, (mode, adapter) in adapters.items()],
            ref_template=PLACE + "{model}",
            schema_generator=_Generator,
        )
        components: Mapping[str, Schema] = rest.get("$defs", {})
        self._names = {name: str(one.get("title", name)) for name, one in components.items()}
        self._found = {key: self._renamed(schema) for (key, _), schema in found.items()}
        self._all = {self._names[name]: self._renamed(one) for name, one in components.items()}
        hidden = {self.of(kind).get("$ref") for kind in parameters}
        self.components = {
            name: one for name, one in sorted(self._all.items()) if PLACE + name not in hidden
        }

    def of(self, kind: Any) -> Schema:
        """The schema of one of the types: a reference where it is a component."""
        schema: Schema = self._found[_key(kind)]
        return schema

    def fields(self, kind: Any) -> Iterator[tuple[str, Schema, bool]]:
        """The fields of a shape: name, schema, and whether it must be there."""
        whole = self._all[self.of(kind)["$ref"].removeprefix(PLACE)]
        for name, schema in whole["properties"].items():
            yield name, schema, name in whole.get("required", ())

    def _renamed(self, part: Any) -> Any:
        if isinstance(part, list):
            return [self._renamed(each) for each in part]
        if not isinstance(part, dict):
            return part
        return {key: self._reference(key, value) for key, value in part.items()}

    def _reference(self, key: str, value: Any) -> Any:
        if key == "$ref" and isinstance(value, str):
            return PLACE + self._names[value.removeprefix(PLACE)]
        if key == "description" and isinstance(value, str):
            # Docstrings are written for Python, descriptions for Markdown.
            return value.replace("``", "`")
        return self._renamed(value)


def _key(kind: Any) -> str:
    return f"{getattr(kind, '__module__', '')}.{kind!r}"
