"""`import acl`: replaces itself by the strict module, as the extension would come out of C."""

import os
import sys

if os.environ.get("FAKE_CANN_IMPORT", "ok") == "missing_library":
    raise ImportError("libascendcl.so: cannot open shared object file: No such file or directory")

from fake_cann.surface import strict_module

sys.modules[__name__] = strict_module(__name__, __spec__, __file__)
