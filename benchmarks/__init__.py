"""How fast sd_helpers is, and how much memory it takes, beside diffusers: `make bench`.

torch comes first: its threads then wait as they do for whoever has not got us.
"""

import torch  # noqa: F401
