"""Imported before anything that imports numpy, whose BLAS library starts its threads at once.

The threads of OpenBLAS wait for work by spinning, so that a request which fits a line through ten
points kept a second core busy for milliseconds. Here requests are what goes on side by side. Who
sets `OPENBLAS_NUM_THREADS` himself has what he set.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
