"""The published check rules of numbers that are given to people."""

_IBAN_LENGTHS: dict[str, int] = dict(
    (entry[:2], int(entry[2:]))
    for entry in """
    AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24
    DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28
    HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20
    LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25
    QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29
    VA22 VG24 XK20
    """.split()
)
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def is_luhn(digits: str) -> bool:
    """Says whether the last digit of a card number checks the others.

    Source: ISO/IEC 7812-1, annex B (Luhn's formula).

    Example:

    >>> is_luhn("4111111111111111"), is_luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def iban_length(country: str) -> int:
    """Returns how long the account numbers of a country are; 0: it has none.

    Source: SWIFT, IBAN Registry.

    Example:

    >>> iban_length("DE"), iban_length("US")
    (22, 0)
    """
    return _IBAN_LENGTHS.get(country, 0)


def is_iban(account: str) -> bool:
    """Says whether an account number, without spaces, is an IBAN.

    Source: ISO 13616: the country's length, and remainder 1 modulo 97 with
    the first four characters at the end and letters as 10 to 35.

    Example:

    >>> is_iban("DE89370400440532013000"), is_iban("DE88370400440532013000")
    (True, False)
    """
    if len(account) != iban_length(account[:2]):
        return False
    turned = account[4:] + account[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def is_german_tax_id(digits: str) -> bool:
    """Says whether eleven digits are a German tax number (IdNr).

    Source: ISO 7064, MOD 11,10, and the rule of the Federal Central Tax
    Office: of the first ten digits one comes twice or three times and
    the others at most once.

    Example:

    >>> is_german_tax_id("86095742719"), is_german_tax_id("86095742718")
    (True, False)
    """
    often = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if often[-1] not in (2, 3) or any(times > 1 for times in often[:-1]):
        return False
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_french_social_number(number: str) -> bool:
    """Says whether 15 characters are a French social security number (NIR).

    Source: INSEE: the key is 97 less the remainder of the number modulo 97;
    the departments of Corsica, 2A and 2B, count as 19 and 18.

    Example:

    >>> is_french_social_number("255081416802538")
    True
    >>> is_french_social_number("255081416802539")
    False
    """
    body = number[:13].replace("2A", "19").replace("2B", "18")
    return 97 - int(body) % 97 == int(number[13:])


def is_spanish_id(number: str) -> bool:
    """Says whether the letter of a Spanish DNI or NIE is the right one.

    Source: Spanish Ministry of the Interior: the letter stands at the place
    of the remainder modulo 23; X, Y, Z in front count as 0, 1, 2.

    Example:

    >>> is_spanish_id("12345678Z"), is_spanish_id("X1234567L")
    (True, True)
    >>> is_spanish_id("12345678A")
    False
    """
    digits = number[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI_LETTERS[int(digits) % 23] == number[-1]
