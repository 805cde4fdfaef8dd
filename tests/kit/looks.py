"""The browsers that readers use: widths, light and dark, both languages, with and without script."""

from typing import Any, Final

WIDE: Final = {"width": 1280, "height": 900}
NARROW: Final = {"width": 390, "height": 844}

LOOKS: Final[dict[str, dict[str, Any]]] = {
    "wide-light-vi-plain": {
        "viewport": WIDE,
        "color_scheme": "light",
        "locale": "vi-VN",
        "java_script_enabled": False,
    },
    "narrow-dark-en-script": {"viewport": NARROW, "color_scheme": "dark", "locale": "en-GB"},
    "wide-dark-en-script": {"viewport": WIDE, "color_scheme": "dark", "locale": "en-GB"},
    "narrow-light-vi-plain": {
        "viewport": NARROW,
        "color_scheme": "light",
        "locale": "vi-VN",
        "java_script_enabled": False,
    },
}
"""Contexts of Playwright by name: each width light and dark, in each language, with and without script."""
