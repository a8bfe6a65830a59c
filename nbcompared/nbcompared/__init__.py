"""Notebooks as regression tests: re-run, and compared with what they store as a reader would compare them.

`text` compares words and numbers, `pictures` compares pictures and films, `outputs` all that a cell shows, from the messages that
`replay` reads. `notebooks` collects and runs notebooks for pytest, with nbval; `plugin` is what pytest loads. `kernel` prepares a
kernel behind the notebook's back, `preloaded` starts it sooner, and `machines` re-runs all as other machines would compute it.
"""
