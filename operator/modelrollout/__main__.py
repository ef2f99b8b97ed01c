"""`python -m modelrollout` is the `modelrollout` command."""

import sys

from modelrollout.cli import main

sys.exit(main())
