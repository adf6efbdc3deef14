"""`python -m tiffin.cli`: what the front door script hands over to."""

import sys

from tiffin.cli.main import main

sys.exit(main())
