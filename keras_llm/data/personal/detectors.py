"""Detectors of e-mail addresses, numbers and street addresses.

What has a check digit is found by it; the others by their form. Values stand
on one line each.
"""

import ipaddress
import re
from collections.abc import Iterator

from keras_llm.data.personal import check_digits
from keras_llm.data.personal.findings import Span

# In this order where two are found in the same place.
KINDS = ("email", "iban", "card", "national_id", "ip", "phone", "street")

_LOCAL_PART = re.compile(r"[\w+%-][\w.+%-]*\Z")
_DOMAIN = re.compile(r"(?:[\w-]+\.)+[^\W\d_][\w-]*")
# A line without one of these has no number of any kind. [0-9], not \d: the
# search for it is three times as fast.
_NUMBER = re.compile(
    r"[0-9](?:(?:[ ()./:-]{0,3}[0-9]){5}|[0-9]*\.[0-9]+\.[0-9]+\.[0-9])"
)
_IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}")
# 16 or 19 digits of the issuers there are; 15 or 14 in groups of 4-6-5, 4-6-4.
_CARD = re.compile(
    r"(?<![\w.-])(?:(?:4[0-9]{3}|5[0-8][0-9]{2}|2[2-7][0-9]{2}|6[0-9]{3})"
    r"([ -]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"
    r"|3[04-9][0-9]{2}([ -]?)[0-9]{6}\2[0-9]{4,5})(?!-?[0-9]|\w)"
)
_SSN = re.compile(
    r"(?<![\w-])(?!000|666|9)[0-9]{3}([- ])(?!00)[0-9]{2}\1(?!0000)[0-9]{4}"
    r"(?![\w-])"
)
_NINO = re.compile(
    r"\b(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
    r" ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b"
)
_CHECKED = (
    (
        re.compile(r"(?<![\w.])[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}\b"),
        check_digits.is_german_tax_id,
    ),
    (
        re.compile(
            r"(?<![\w.])[1-478] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9])"
            r" ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b"
        ),
        check_digits.is_french_social_number,
    ),
    (
        re.compile(r"(?<![\w.])(?:[0-9]|[XYZ])-?[0-9]{7}-?[A-HJ-NP-TV-Z]\b"),
        check_digits.is_spanish_id,
    ),
)
_IPV4 = re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\.?\w)")
_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")  # no IPv6 without it
_IPV6 = re.compile(
    r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?!\w)"
)
_NOT_BEFORE = r"(?<![\w.,/:=#$€£-])"
_NOT_AFTER = r"(?!\w|[.,:/-]?[0-9]| ?[%€$£])"
_PHONES = (
    # International: +49 30 123456, 0044 (0)20 7946 0958.
    re.compile(
        r"(?:(?<![\w+])\+|(?<![\w.,/:=+-])00)[1-9][0-9]{0,2}"
        r"(?:[ ./-]{0,2}(?:\([0-9]{1,4}\)|[0-9]{1,12})){1,6}(?!\w|[.,][0-9])"
    ),
    # North America: (212) 555-0166, 1-212-555-0166, 212.555.0166.
    re.compile(
        _NOT_BEFORE + r"(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}([-.]))"
        r"[2-9][0-9]{2}(?(1)\1|[-. ])[0-9]{4}" + _NOT_AFTER
    ),
    # National with the 0 in front: 030/1234567, 020 7946 0958, 01.23.45.67.89.
    re.compile(
        _NOT_BEFORE + r"(?!0123456789)\(?0[1-9][0-9]{0,4}\)?"
        r"(?:[ ./-]{0,3}[0-9]{2,8}){1,4}" + _NOT_AFTER
    ),
)
# A look back comes behind the first digit: in front it would slow the search.
_HOUSE = re.compile(r"[0-9](?<![\w.,:/-].)[0-9]{0,4}[A-Za-z]?\b")
_BEHIND_HOUSE = re.compile(
    r",? (?:(?:[NSEW]\.? )?(?:[A-Z][\w'’-]+ ){1,3}(?:Street|St|Avenue|Ave|Road"
    r"|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Terrace|Crescent)\b\.?"
    r"|(?:rue|avenue|boulevard) (?:d[eu] |des |de la )?[A-Z][\w'’-]+)"
)
# The number comes last: Hauptstraße 12, Lange Str. 5a, Calle Mayor 7.
_STREET_ENDS = (
    "straße ",
    "strasse ",
    "gasse ",
    "allee ",
    "str. ",
    "Straße ",
    "Strasse ",
    "Gasse ",
    "Allee ",
    "Str. ",
)
_GERMAN = re.compile(r"\b[A-ZÄÖÜ][\w-]*(?:(?<=\w)[ -])?[A-ZÄÖÜa-zß]\w+\.? $")
_SPANISH = re.compile(
    r"\b(?:Calle|Avenida|Plaza) (?:de (?:la )?)?[A-ZÁÉÍÓÚ]\w+,? $"
)


def emails(text: str) -> Iterator[Span]:
    """Yields the e-mail addresses of a text.

    Example:

    >>> text = "Write to jo.b@mail.example.org."
    >>> [text[span.start : span.end] for span in emails(text)]
    ['jo.b@mail.example.org']
    """
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        earliest = max(0, at - 64)
        local_part = domain and _LOCAL_PART.search(text[earliest:at])
        if domain and local_part:
            start = earliest + local_part.start()
            yield Span(start, domain.end(), "email")
        at = text.find("@", at + 1)


def number_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Yields the lines with a longer number, each with its place.

    Example:

    >>> list(number_lines("One\nCall 030 1234567\nTwo"))
    [(4, 'Call 030 1234567')]
    """
    end = -1
    while found := _NUMBER.search(text, end + 1):
        start = text.rfind("\n", 0, found.start()) + 1
        end = text.find("\n", found.end())
        end = len(text) if end < 0 else end
        yield start, text[start:end]


def ibans(line: str) -> Iterator[Span]:
    """Yields account numbers whose country, length and checksum are right."""
    for found in _IBAN.finditer(line):
        start, end = found.start(), found.start()
        wanted = check_digits.iban_length(found[0][:2])
        account = ""
        while len(account) < wanted and end < found.end():
            account += line[end].strip()
            end += 1
        if check_digits.is_iban(account) and not line[end : end + 1].isalnum():
            yield Span(start, end, "iban")


def cards(line: str) -> Iterator[Span]:
    """Yields payment card numbers: 14, 15, 16 or 19 digits, the last right.

    Source: ISO/IEC 7812-1; first digits as their issuers publish them.
    """
    for found in _CARD.finditer(line):
        if check_digits.is_luhn(_bare(found[0])):
            yield Span(*found.span(), "card")


def national_ids(line: str) -> Iterator[Span]:
    """Yields numbers that a state gave: US (SSN), UK (NINO), Germany (IdNr),
    France (NIR), Spain (DNI, NIE).

    The last three by their check digits. The first two have none: a form that
    is never given out does not count.

    Source: Social Security Administration, number randomization; HMRC,
    NIM39110; see `check_digits` for the others.
    """
    for pattern in (_SSN, _NINO):
        for found in pattern.finditer(line):
            yield Span(*found.span(), "national_id")
    for pattern, is_right in _CHECKED:
        for found in pattern.finditer(line):
            if is_right(_bare(found[0])):
                yield Span(*found.span(), "national_id")


def ipv4s(line: str, public: bool = False) -> Iterator[Span]:
    """Yields addresses of computers, four numbers up to 255.

    Args:
        line: Any text.
        public: True leaves out private, local and reserved addresses.

    Example:

    >>> text = "From 10.0.0.1 or 8.8.8.8"
    >>> [text[start:end] for start, end, _ in ipv4s(text, public=True)]
    ['8.8.8.8']
    """
    return _addresses(_IPV4, line, public)


def ipv6s(text: str, public: bool = False) -> Iterator[Span]:
    """Yields addresses of computers in their longer form; like `ipv4s`.

    A shortened one must have a digit and three colons: `a::b` is a name in
    C++.
    """
    if _COLONS.search(text):
        yield from _addresses(_IPV6, text, public)


def phones(line: str) -> Iterator[Span]:
    """Yields telephone numbers, in international and in national form.

    Source: ITU-T E.164 (at most 15 digits); North American Numbering Plan
    (area codes and exchanges start with 2 to 9).
    """
    for pattern in _PHONES:
        for found in pattern.finditer(line):
            if 9 <= len(_bare(found[0]).lstrip("+")) <= 15:
                yield Span(*found.span(), "phone")


def streets(text: str) -> Iterator[Span]:
    """Yields streets with house numbers, as English, French, German and
    Spanish write them.

    Example:

    >>> text = "He moved from 12 Mill Lane to Hauptstraße 5a."
    >>> [text[start:end] for start, end, _ in streets(text)]
    ['12 Mill Lane', 'Hauptstraße 5a']
    """
    for house in _HOUSE.finditer(text):
        behind = _BEHIND_HOUSE.match(text, house.end())
        if behind:
            yield Span(house.start(), behind.end(), "street")
            continue
        earliest = max(0, house.start() - 60)
        before = text[earliest : house.start()]
        street = None
        if before.endswith(_STREET_ENDS):
            street = _GERMAN.search(before)
        elif "Calle" in before or "Avenida" in before or "Plaza" in before:
            street = _SPANISH.search(before)
        if street:
            yield Span(earliest + street.start(), house.end(), "street")


def _addresses(
    pattern: re.Pattern[str], text: str, public: bool
) -> Iterator[Span]:
    for found in pattern.finditer(text):
        address = _address(found[0])
        if address and (address.is_global or not public):
            yield Span(*found.span(), "ip")


def _address(
    text: str,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Returns the address; None: it is none, or `a::b` of a C++ program."""
    if "::" in text and (text.count(":") < 3 or not re.search("[0-9]", text)):
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _bare(number: str) -> str:
    """Returns the digits and letters of a number."""
    return re.sub(r"[ ()./-]", "", number)
