"""``python -m bridge`` is ``whisper-bridge``."""

import sys

from bridge.cli import main

sys.exit(main())
