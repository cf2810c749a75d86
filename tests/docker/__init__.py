"""What needs root and a Docker engine: `make test-docker` runs it, `make test` does not."""
