"""The lab in containers, as compose.yaml has it: `make test-compose` runs it, as root."""
