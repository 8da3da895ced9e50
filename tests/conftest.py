"""How much hypothesis tries: little at every run, much on demand (`--hypothesis-profile=ci`)."""

from hypothesis import settings

settings.register_profile(
    "dev", max_examples=50, deadline=None
)  # machines are shared: no clock
settings.register_profile("ci", max_examples=500, deadline=None, derandomize=True)
settings.load_profile("dev")
