"""Executable companions to papers on the theory of training."""

import time

__version__ = "0.1.0"

# Every module of the package is read after this.
LOADED = time.time()
