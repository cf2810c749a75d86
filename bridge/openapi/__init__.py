"""The OpenAPI 3.1 description of the API, made from what stands beside each of its routes.

Pure: it knows neither the routes nor HTTP, only how an operation is described (OpenAPI
Specification 3.1.1) and how pydantic's shapes become JSON Schema.
"""

from bridge.openapi.document import About, describe
from bridge.openapi.operations import Access, ErrorForm, Operation, Reply

__all__ = ["About", "Access", "ErrorForm", "Operation", "Reply", "describe"]
