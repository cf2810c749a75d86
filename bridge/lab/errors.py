"""The one error of the lab."""


class LabError(Exception):
    """Something of the lab did not come up or did not answer; the message says what to do."""
