"""How emoji-sd was made: every stage from icons to weights, run by `python -m training`."""

import sd_helpers  # noqa: F401  first, so that transformers does not ask for torchvision
