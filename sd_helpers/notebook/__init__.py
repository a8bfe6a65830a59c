"""What a notebook shows and is moved by: pictures, plots, controls, checks of answers."""
