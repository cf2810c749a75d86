"""Metrics for Prometheus, in a registry of their own. The only importer of prometheus_client.

No label holds a token, a number or an id: what a label may be is written in the code.
"""

from bridge.metrics.exposing import Metrics

__all__ = ["Metrics"]
