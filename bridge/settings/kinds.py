"""What the value of a setting may be."""

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from unicodedata import category
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr


def _line(value: Any) -> Any:
    """Refuse what would end a header of the AMI, or a line of the log, early."""
    if value == "":
        raise ValueError("must not be empty")
    if isinstance(value, str) and any(category(char) in ("Cc", "Cs") for char in value):
        raise ValueError("must not hold control characters")
    return value


def _secret_line(value: SecretStr) -> SecretStr:
    _line(value.get_secret_value())
    return value


def _host(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._-]+", value) or _is_ipv6(value):
        return value
    raise ValueError("must be a host name or an address")


def _is_ipv6(value: str) -> bool:
    """Tell an IPv6 address without a zone, which has no place in a link."""
    try:
        return IPv6Address(value).scope_id is None
    except ValueError:
        return False


def _base_url(value: str) -> str:
    """Check a URL that paths can be joined to, and drop its trailing slashes."""
    try:
        parts = urlsplit(value)
        host, _checked_when_read = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL") from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s?#]", value):
        raise ValueError("must be an http or https URL without query and fragment")
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials")
    return value.rstrip("/")


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _networks(value: Any) -> Any:
    """Read addresses and networks, with commas between them."""
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be addresses and networks, like 10.0.0.7, 10.1.0.0/16") from None


def url_of(host: str, port: int, scheme: str = "http") -> str:
    """The URL of what listens there."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


Line = Annotated[str, AfterValidator(_line)]
Host = Annotated[Line, AfterValidator(_host)]
Secret = Annotated[SecretStr, AfterValidator(_secret_line)]
File = Annotated[Path, BeforeValidator(_line)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)]
BaseUrl = Annotated[Line, AfterValidator(_base_url)]
LogFormat = Annotated[Literal["auto", "text", "json"], BeforeValidator(_lower)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
