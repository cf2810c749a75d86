"""What may go wrong between a client and the service.

No message holds a token or a secret; each is a sentence for whoever reads it on a terminal.
"""

from bridge.uapi import ErrorBody, ErrorDetail


class ClientError(Exception):
    """What was asked for was not had; as text it says why."""


class Unreachable(ClientError):
    """Nobody answers, or what answers is not the service."""


class Cut(Unreachable):
    """The service did not get to answer: what it was asked for may have been done, or not."""


class CredentialError(ClientError):
    """There is no credential to ask with, or it cannot be read."""


class Refused(ClientError):
    """The service answered with an error of its contract.

    ``status`` is HTTP's, ``code`` the contract's or OAuth's, ``message`` the service's own words,
    ``retry_after`` the seconds to wait before asking again, 0 where it does not say.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int = 0) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        super().__init__(message)

    def body(self) -> dict[str, object]:
        """The error in the contract's shape, also where it was in OAuth's."""
        return ErrorBody(error=ErrorDetail(code=self.code, message=self.message)).body()

    @property
    def denied(self) -> bool:
        """Whether it is for want of a good token, or of a right."""
        return self.status in (401, 403)

    @property
    def passing(self) -> bool:
        """Whether the same request may be answered later."""
        return self.status in (408, 429) or (self.status >= 500 and self.status != 501)
