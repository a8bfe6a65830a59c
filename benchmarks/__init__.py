"""How fast sd_helpers is, and how much memory it takes, beside diffusers' own pipelines: `make bench`."""
