"""Which encoding a text is in: as stated, as it says itself, or detected."""

import codecs
import re

from keras_llm.data.reading.opening import Location, open_bytes
from keras_llm.errors import InputError

DETECT = "detect"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK = 1 << 20
_SAMPLE = 1 << 16  # bytes of lines that are not ASCII
# The two are alike for most letters; these write the ones that differ.
_CENTRAL_EUROPE = frozenset(
    "Albanian Bosnian Croatian Czech Hungarian Polish Romanian Serbian Slovak"
    " Slovene".split()
)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
# https://encoding.spec.whatwg.org/#names-and-labels
_WINDOWS = frozenset({"ascii", "iso8859-1"})


def signed(encoding: str) -> str:
    """Lets UTF-8 files start with a byte order mark.

    Example:

    >>> signed("UTF8"), signed("latin-1")
    ('utf-8-sig', 'latin-1')
    """
    utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    return "utf-8-sig" if utf8 else encoding


def check_encoding(encoding: str, errors: str) -> None:
    """Refuses names that Python does not know before any file is opened.

    Raises:
        InputError: Such a name.
    """
    if encoding != DETECT:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise InputError(
                "Expected the name of a text encoding, for example utf-8 or "
                f'latin-1, or "detect". Received: encoding={encoding!r}.'
            ) from error
    if errors not in ("strict", "replace"):
        raise InputError(
            'Expected errors="strict" or errors="replace". Received: '
            f"errors={errors!r}."
        )


def detect_encoding(path: Location) -> str:
    """Returns the encoding of a file.

    By its byte order mark; else UTF-8 where every byte is; else what
    charset_normalizer makes of the lines that are not ASCII, with cp1252 for
    the languages of Western Europe, where cp1250 has the same letters. A file
    for which there is no guess, or that is binary, counts as UTF-8: reading
    it says what is wrong.

    A guess is safe for a page of text and more; of a few words nobody can
    tell. The file is read through once; 1 MB and 64 kB are held in memory.

    Raises:
        InputError: charset_normalizer is needed and not installed.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> text = "où ça, déjà vu, à côté de la forêt"
    >>> _ = path.write_bytes(text.encode("cp1252"))
    >>> detect_encoding(path)
    'cp1252'
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    sample, is_utf8, first = b"", True, True
    with open_bytes(path) as file:
        while chunk := file.read(_CHUNK):
            if first and (marked := of_mark(chunk)):
                return marked
            if b"\0" in chunk:
                return "utf-8"
            first = False
            is_utf8 = is_utf8 and _goes_on(decoder, chunk)
            sample += _foreign(chunk)[: _SAMPLE - len(sample)]
    if is_utf8 and _goes_on(decoder, b"", final=True):
        return "utf-8"
    return _guess(sample, path)


def of_mark(data: bytes) -> str:
    r"""Returns the encoding of a byte order mark, or nothing.

    Example:

    >>> of_mark(b"\xff\xfeH\0i\0")
    'utf-16'
    """
    return next((name for mark, name in _MARKS if data.startswith(mark)), "")


def html_encoding(data: bytes, header: str = "", stated: str = "utf-8") -> str:
    r"""Returns the encoding of an HTML page.

    By its byte order mark, the `charset` of the HTTP header, the `charset` in
    the first 1024 bytes, or else as stated.

    Source: https://html.spec.whatwg.org/#determining-the-character-encoding.

    Example:

    >>> html_encoding(b'<meta charset="ISO-8859-1"><p>caf\xe9</p>')
    'cp1252'
    """
    if marked := of_mark(data):
        return marked
    found = _CHARSET.search(header.encode("latin-1", "replace"))
    found = found or _CHARSET.search(data[:1024])
    if found is None:
        return stated
    try:
        name = codecs.lookup(found[1].decode("latin-1")).name
    except LookupError:
        return stated
    return "cp1252" if name in _WINDOWS else name


def _goes_on(
    decoder: codecs.IncrementalDecoder, chunk: bytes, final: bool = False
) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True


def _foreign(chunk: bytes) -> bytes:
    """Returns the lines that are not ASCII: what tells encodings apart."""
    if chunk.isascii():
        return b""
    lines = chunk.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.isascii())


def _guess(sample: bytes, path: Location) -> str:
    """Returns what charset_normalizer makes of a sample."""
    try:
        import charset_normalizer
    except ImportError as error:
        raise InputError(
            f"Expected charset_normalizer to detect the encoding of {path}, "
            "which is not UTF-8. Received: it is not installed. "
            "Do: pip install charset-normalizer, or state the encoding."
        ) from error
    best = charset_normalizer.from_bytes(sample).best()
    if best is None:
        return "utf-8"
    central = best.encoding == "cp1250" and best.language in _CENTRAL_EUROPE
    western = best.encoding in ("cp1250", "latin_1") and not central
    return "cp1252" if western and _is_cp1252(sample) else best.encoding


def _is_cp1252(sample: bytes) -> bool:
    return not set(sample) & {0x81, 0x8D, 0x8F, 0x90, 0x9D}
