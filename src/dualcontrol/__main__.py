"""``python -m dualcontrol``."""

import sys

from dualcontrol.cli import main

if __name__ == "__main__":
    sys.exit(main())
