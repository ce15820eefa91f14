"""Speed and memory of models on real devices, and a predictor of speed that is fitted to such measurements."""

import pocketlm.numerics  # noqa: F401 - sets OpenMP's wait policy, before anything here loads torch
