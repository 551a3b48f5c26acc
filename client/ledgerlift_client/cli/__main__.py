"""`python -m ledgerlift_client.cli`."""

import sys

from ledgerlift_client.cli import main

sys.exit(main())
