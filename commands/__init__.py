"""The command line's verbs: what is typed becomes options, what comes back becomes text."""

import os

# Factors are made by many small matrix products, for which OpenBLAS's threads cost three times what
# they bring: they spin while they wait for one another. Whole networks run in threads of our own.
# It is read when numpy is first imported, which is after this.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
