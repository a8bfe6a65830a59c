"""Sphinx's settings."""

project = "Stable Diffusion, taken apart"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_static", "_trees"]
suppress_warnings = ["myst.xref_missing", "mystnb.unknown_mime_type"]

nb_execution_mode = "off"  # the outputs are stored
nb_ipywidgets_js = {}  # nothing from another server
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
mathjax_path = "mathjax.js"

html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_theme_options = {
    "use_download_button": False,  # each page links its notebook as it is
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search stands in the side bar, on a phone in the page's own
}
html_show_copyright = False
html_copy_source = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_rtype = False
