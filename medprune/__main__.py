"""``python -m medprune``."""

import sys

from medprune.cli import main

sys.exit(main())
