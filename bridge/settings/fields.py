"""Every setting there is, with its default."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.settings.kinds import (
    BaseUrl,
    File,
    Host,
    Line,
    LogFormat,
    LogLevel,
    Networks,
    Secret,
    url_of,
)

_KINDS: Mapping[Any, str] = {bool: "must be true or false", float: "must be a number"}
"""What a setting of that type must be, in an operator's words."""


class Settings(BaseSettings):
    """What an operator can set; immutable. Made by ``load``."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    ami_host: Host = "127.0.0.1"
    ami_port: int = Field(5038, ge=1, le=65535)
    ami_username: Line = "whisper-bridge"
    ami_secret: Secret
    ami_secret_file: File | None = None
    """A file that holds the secret, in place of ami_secret."""
    ami_tls: bool = False
    """Whether AMI is spoken over TLS (Asterisk's tlsenable; its port is 5039 by default)."""
    ami_ca: File | None = None
    """Certificates that vouch for the PBX's, in PEM; those of this machine when not set."""
    ami_silence: float = Field(5.0, ge=0.5, le=300, allow_inf_nan=False)
    """Seconds the PBX may say nothing, not even to a ping, before the link counts as lost."""
    http_host: Host = "127.0.0.1"
    http_port: int = Field(8480, ge=1, le=65535)
    tls_cert: File | None = None
    """The certificate that clients are shown, with its chain, in PEM; without one, plain HTTP."""
    tls_key: File | None = None
    """Its private key, in PEM; in the file of the certificate when not set."""
    plain_http_behind_proxy: bool = False
    """Whether plain HTTP may be spoken beyond loopback, as to a proxy that speaks TLS."""
    trusted_proxies: Networks = ()
    """Whose X-Forwarded-For is believed."""
    rate_per_app: float = Field(200.0, ge=0, le=1e6, allow_inf_nan=False)
    """Requests a second that an app may make; twice as many may come at once. 0: no limit."""
    rate_per_address: float = Field(200.0, ge=0, le=1e6, allow_inf_nan=False)
    """The same for an address, whoever asks."""
    failures_per_minute: float = Field(10.0, ge=0, le=1e6, allow_inf_nan=False)
    """Wrong secrets and tokens a minute, per address and per app. 0: no limit."""
    max_connections: int = Field(512, ge=1, le=1000000)
    """Connections that may be open; beyond, those that rest make room for new ones."""
    request_timeout: float = Field(10.0, ge=0.1, le=600, allow_inf_nan=False)
    """Seconds in which the head of a request must be there, and again its body."""
    keepalive: float = Field(75.0, ge=1, le=86400, allow_inf_nan=False)
    """Seconds that a connection may rest between requests."""
    public_url: BaseUrl = Field(
        default_factory=lambda data: url_of(
            data["http_host"], data["http_port"], "https" if data["tls_cert"] else "http"
        )
    )
    """What the links in answers begin with, without a trailing slash."""
    directory: File
    """The TOML document of bridge.directory."""
    state_dir: File
    """Where the keys of the tokens are kept."""
    audit: File = Field(default_factory=lambda data: data["state_dir"] / "audit.jsonl")
    """Where it is written who did what."""
    webhooks_db: File | None = None
    """Where it is kept which clients are told of call events, and of which they are to be yet."""
    webhooks_allow: Networks = ()
    """Addresses that are not global, to which events are sent all the same."""
    metrics_clients: Networks = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    """For whom there are health, readiness and metrics."""
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "auto"
    """Lines for people, JSON for machines, or JSON just where the log goes to systemd's journal."""
    log_numbers: bool = False
    """Whether extensions' numbers stand in the log too."""
    pbx_name: Line = "asterisk"
    """Goes into the ids of calls: bridges beside one PBX must agree on it."""
    max_whispers_per_view: int = Field(3, ge=1, le=100)
    """Supervisors who may whisper to one view at a time."""
    follow_target: bool = False
    """Whether a whisper goes on when its target comes to talk to somebody else."""
    follow_keys: bool = False
    """Whether who may barge in can change his mind by keys and by request (AMI: read = dtmf)."""

    @field_validator("*", mode="before")
    @classmethod
    def _scalar(cls, value: Any, info: ValidationInfo) -> Any:
        """Take what a variable could be as well: pydantic would read true as the port 1."""
        kind = cls.model_fields[info.field_name or ""].annotation
        given = type(value)
        mixed = (given in (bool, float) and given is not kind) or (given is int and kind is bool)
        if mixed or not isinstance(value, str | int | float | tuple | Path | SecretStr | None):
            raise ValueError(_KINDS.get(kind, "must be a string or a whole number"))
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what ``load`` gathered and nothing else: it knows where each value came from."""
        return (init_settings,)
