"""The UnifiedAPI over HTTP: routes, tokens, errors. The only importer of aiohttp.web.

A request's path and query hold numbers and may hold a token, so neither is ever logged.
"""

from bridge.api.application import MAX_BODY, serving
from bridge.api.door import Manners
from bridge.api.gate import Allowance, Gate
from bridge.api.site import REQUEST_ID, Site, Watch
from bridge.api.tls import CertificateError, Tls, read_certificate

__all__ = [
    "MAX_BODY",
    "REQUEST_ID",
    "Allowance",
    "CertificateError",
    "Gate",
    "Manners",
    "Site",
    "Tls",
    "Watch",
    "read_certificate",
    "serving",
]
