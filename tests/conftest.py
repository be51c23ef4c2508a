from __future__ import annotations

import os

from hypothesis import settings

# A machine that runs two workers under coverage is slow at times: that is no failure. In continuous
# integration every run tries the same examples, elsewhere each run tries new ones.
settings.register_profile("lrn-deploy", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("lrn-deploy")
