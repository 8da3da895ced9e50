"""How much hypothesis tries: little at every run, much on demand (`--hypothesis-profile=ci`).

Where CI is set it tries the same examples each time: a finding belongs to who looks for one.
"""

import os

from hypothesis import settings

settings.register_profile(
    "dev", max_examples=50, deadline=None, derandomize="CI" in os.environ
)  # machines are shared: no clock
settings.register_profile("ci", max_examples=500, deadline=None, derandomize=True)
settings.load_profile("dev")
