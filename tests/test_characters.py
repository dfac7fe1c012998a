"""What a screen hides is named; what a script or an emoji needs is left alone."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualcontrol.characters import escaped, hides, name, parts, visible

NAMED: list[tuple[str, str]] = [
    ("invoice\u202efdp.exe", "invoice[U+202E RIGHT-TO-LEFT OVERRIDE]fdp.exe"),
    ("A\u200b-17", "A[U+200B ZERO WIDTH SPACE]-17"),
    ("\u200b" * 1200, "[U+200B ZERO WIDTH SPACE ×1,200]"),
    ("\ufeffx", "[U+FEFF ZERO WIDTH NO-BREAK SPACE]x"),
    ("co\xadop", "co[U+00AD SOFT HYPHEN]op"),
    ("\x1b[31m\x9b2J\x7f", "[U+001B ESCAPE][31m[U+009B CONTROL SEQUENCE INTRODUCER]2J[U+007F DELETE]"),
    ("a\x00b", "a[U+0000 NULL]b"),
    ("a\rb", "a[U+000D CARRIAGE RETURN]b"),
    ("a\u2028b\u2029", "a[U+2028 LINE SEPARATOR]b[U+2029 PARAGRAPH SEPARATOR]"),
    ("\u2066x\u2069\u061c\u200e", "[U+2066 LEFT-TO-RIGHT ISOLATE]x[U+2069 POP DIRECTIONAL ISOLATE]"
     "[U+061C ARABIC LETTER MARK][U+200E LEFT-TO-RIGHT MARK]"),
    ("x\u200dy\u200c", "x[U+200D ZERO WIDTH JOINER]y[U+200C ZERO WIDTH NON-JOINER]"),
    ("Ж\u200cЖ", "Ж[U+200C ZERO WIDTH NON-JOINER]Ж"),
    ("👩\u200d", "👩[U+200D ZERO WIDTH JOINER]"),
    ("م\u200c\u200cخ", "م[U+200C ZERO WIDTH NON-JOINER ×2]خ"),
    ("1\ufe0f0", "1[U+FE0F VARIATION SELECTOR-16]0"),
    ("A\ufe00", "A[U+FE00 VARIATION SELECTOR-1]"),
    ("😀\ufe0f\ufe01\U000e0100", "😀\ufe0f[U+FE01 VARIATION SELECTOR-2][U+E0100 VARIATION SELECTOR-17]"),
    ("🏴\U000e0041\U000e007f", "🏴[U+E0041 TAG LATIN CAPITAL LETTER A][U+E007F CANCEL TAG]"),
    ("\ufff9a\ufffab\ufffb", "[U+FFF9 INTERLINEAR ANNOTATION ANCHOR]a[U+FFFA INTERLINEAR ANNOTATION SEPARATOR]b"
     "[U+FFFB INTERLINEAR ANNOTATION TERMINATOR]"),
    ("\u206a", "[U+206A INHIBIT SYMMETRIC SWAPPING]"), ("\u2063", "[U+2063 INVISIBLE SEPARATOR]"),
    ("\ue000", "[U+E000 PRIVATE USE]"), ("\ufdd0", "[U+FDD0 NONCHARACTER]"), ("\u0378", "[U+0378 UNASSIGNED]"),
    ("\ud800", "[U+D800 LONE SURROGATE]"),
    ("\u115f\u1160\u3164\uffa0", "[U+115F HANGUL CHOSEONG FILLER][U+1160 HANGUL JUNGSEONG FILLER]"
     "[U+3164 HANGUL FILLER][U+FFA0 HALFWIDTH HANGUL FILLER]"),
    ("\u2800", "[U+2800 BRAILLE PATTERN BLANK]"), ("\u034f", "[U+034F COMBINING GRAPHEME JOINER]"),
    ("\u17b4", "[U+17B4 KHMER VOWEL INHERENT AQ]"), ("\U0001d159", "[U+1D159 MUSICAL SYMBOL NULL NOTEHEAD]"),
    ("\u0301a", "[U+0301 COMBINING ACUTE ACCENT]a"),
    ("a" + "\u0301" * 20, "a" + "\u0301" * 8 + "[U+0301 COMBINING ACUTE ACCENT ×12]"),
    ("\u200b\u0301", "[U+200B ZERO WIDTH SPACE][U+0301 COMBINING ACUTE ACCENT]"),
]  # fmt: skip
LEFT = [
    "plain\ttext\nof two lines\r\nand a third", "naïve café, Ελληνικά, русский, 日本語, 한국어, ไทย",
    "👩‍💻 👨🏽‍🚀 ❤️‍🔥 👁️‍🗨️ 🐦‍⬛ 🏳️‍🌈 1️⃣ ©️ 🇩🇪", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "می‌خواهم", "क्‍ष न्‍", "ന്‍ ", "שלום עולם", "مرحبا ١٢٣", "\u0600١", "中\U000e0100", "ᠠ\u180b", "Z\u0301\u0308\u0323",
    "le prix\u202f: 5\u00a0€", "全角\u3000スペース",
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), NAMED)
def test_what_hides_is_named(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert hides(text)


@pytest.mark.parametrize("text", LEFT)
def test_what_a_script_needs_is_left_alone(text: str) -> None:
    assert visible(text) == text
    assert not hides(text)


HIDING = sorted({c for text, _ in NAMED for c in text} | set("\u202a\u200f\x07\x85\U000e0020\u180e\ufe0e"))
TEXTS = st.text(
    st.one_of(st.sampled_from(HIDING), st.sampled_from("ab 1#\n\t👩💻مخक्👍🏽"), st.characters()), max_size=40
)


@given(TEXTS)
def test_no_character_that_hides_is_left_unless_its_neighbours_need_it(text: str) -> None:
    """Nothing is lost, and of what is left nothing turns the direction, controls a terminal or is unknown."""
    assert "".join(part.text for part in parts(text)) == text
    shown = visible(text)
    categories = {unicodedata.category(c) for c in shown if c not in "\n\r\t"}
    assert not categories & {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not set(shown) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\u2060\ufeff\xad"
    )


@given(TEXTS)
def test_escaped_json_is_the_same_json(text: str) -> None:
    """Escapes change no value, and leave nothing that a terminal obeys."""
    written = escaped(json.dumps([text], ensure_ascii=False))
    assert json.loads(written) == [text]
    assert not set(written) & {chr(n) for n in (*range(32), *range(0x7F, 0xA0), 0x202E, 0x2066)}


def test_every_control_character_has_a_name() -> None:
    assert name("\x1b") == "U+001B ESCAPE"
    assert [c for c in map(chr, (*range(32), *range(0x7F, 0xA0))) if len(name(c)) < 8] == []
