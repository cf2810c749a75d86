"""The secret of every app of the tests, and what their directories keep of it."""

from bridge.client_secrets import hash_secret

SECRET = "a-secret-of-the-tests"
SECRET_HASH = hash_secret(SECRET, b"salt of no worth")
