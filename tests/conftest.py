"""What all tests share: how hypothesis looks for examples."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "gpufin", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60
)
settings.register_profile("ci", settings.get_profile("gpufin"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "gpufin")
