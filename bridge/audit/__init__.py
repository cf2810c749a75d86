"""The audit: who asked for what, what was decided, and every whisper from its request to its end.

One JSON object a line, in a file that is only ever appended to. Extensions' numbers belong in it,
the other party's never do.
"""

from bridge.audit.reading import Archive, Wanted
from bridge.audit.recorder import Recorder
from bridge.audit.spans import Doubt, Span, spans
from bridge.audit.wording import span_table, table

__all__ = ["Archive", "Doubt", "Recorder", "Span", "Wanted", "span_table", "spans", "table"]
