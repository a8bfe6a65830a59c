"""The emoji behind emoji-sd: styles, background colours, and thumbnails of every concept."""

# How captions name the four icon sets, and what each is.
STYLES = {
    "noto": "Noto Emoji",
    "twemoji": "Twemoji",
    "flat": "Fluent Emoji, flat",
    "glossy": "Fluent Emoji, colour",
}

# The named background colours of the training pictures, as RGB of 0 to 255.
BACKGROUNDS = {
    "white": (255, 255, 255),
    "black": (20, 20, 24),
    "grey": (150, 150, 155),
    "red": (215, 45, 45),
    "orange": (250, 150, 50),
    "yellow": (250, 220, 70),
    "green": (60, 165, 80),
    "blue": (45, 105, 215),
    "purple": (135, 80, 190),
    "pink": (250, 175, 205),
    "brown": (135, 90, 55),
}
