"""Install the peers: python -m bench.robustness.peers [NAME ...]"""

from __future__ import annotations

import sys

from bench.robustness.peers import PACKAGES, PICTURE_PACKAGES, PeerMissing, Worker, install

for name in sys.argv[1:] or (*PACKAGES, *PICTURE_PACKAGES):
    try:
        install(name)
        worker = Worker(name)
        print(f"{name:>16}  {worker.versions}")
        worker.close()
    except PeerMissing as error:
        print(f"{name:>16}  cannot be had: {error}")
