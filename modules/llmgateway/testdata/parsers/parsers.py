"""Reads requests, one a line, as servers in Python do, and writes what each
parser takes for the model: a JSON list of [parser, value]."""

import base64
import email
import email.header
import email.policy
import gzip
import html
import json
import re
import sys
import unicodedata
import urllib.parse
import zlib


def decoded(body, encoding):
    """As aiohttp and its kind do: what follows the data is ignored."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
                try:
                    return zlib.decompressobj(bits).decompress(body)
                except zlib.error:
                    pass
    raise ValueError("unsupported")


INVISIBLE = {"Cc", "Cf", "Cs", "Mn"}


def folded(key):
    for decode in (lambda k: k, urllib.parse.unquote_plus, html.unescape):
        text = decode(key).split("\0")[0].replace("\ufffd", "")
        text = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in INVISIBLE)
        yield re.sub(r"[\[.].*", "", text, flags=re.S).strip().casefold()


def is_model(key):
    return key == "model" or "model" in folded(key)


def of_json(parser, text, **options):
    try:
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs, **options)
    except (ValueError, RecursionError):
        return
    # A list of JSON has no tuples in it, an object's pairs are nothing else.
    if isinstance(pairs, list) and all(isinstance(pair, tuple) for pair in pairs):
        for key, value in pairs:
            if is_model(key):
                yield [f"{parser} {key!r}", value]


def of_query(parser, text):
    try:
        for key, value in urllib.parse.parse_qsl(text, keep_blank_values=True):
            if is_model(key):
                yield [parser, value]
    except ValueError:
        return


def parts(message):
    """Yields the parts, and those within parts."""
    if isinstance(message.get_payload(), str):
        return  # its boundary was not found
    for part in message.get_payload():
        if part.get_content_maintype() == "multipart":
            yield from parts(part)
        else:
            yield part


def of_form(parser, content_type, body):
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode("latin1", "replace") + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    if not message.is_multipart():
        return
    for part in parts(message):
        try:
            name = part.get_param("name", header="content-disposition")
            if isinstance(name, tuple):
                name = urllib.parse.unquote(name[2])
            if name is None:
                continue
            decoded_name = str(email.header.make_header(email.header.decode_header(name)))
        except Exception:  # the parser's own failure is no reading
            continue
        if is_model(name) or is_model(decoded_name):
            yield [parser, (part.get_payload(decode=True) or b"").decode("utf-8", "replace")]


def read(header, body):
    content_type = ", ".join(header.get("Content-Type", []))
    try:
        body = decoded(body, ",".join(header.get("Content-Encoding", [])))
    except (ValueError, OSError, EOFError, zlib.error):
        return
    if "base64" in "".join(header.get("Content-Transfer-Encoding", [])).lower():
        body = base64.b64decode(body)
    media = content_type.split(";")[0].strip().lower()
    charset = re.search(r"charset\s*=\s*\"?([^\";\s]+)", content_type, re.I)
    if media == "" or "json" in content_type.lower():
        yield from of_json("json.loads", body)
        yield from of_json("json.loads, not strict", body, strict=False)
        for errors in ("ignore", "replace", "surrogateescape"):
            yield from of_json("json.loads, " + errors, body.decode("utf-8", errors))
        yield from of_json("json.loads, latin1", body.decode("latin1"))
        if charset:
            try:
                yield from of_json("json.loads, charset", body.decode(charset[1], "ignore"))
            except LookupError:
                pass
    if media == "" or "urlencoded" in content_type.lower():
        yield from of_query("parse_qsl", body.decode("utf-8", "replace"))
    if media == "" or "multipart" in content_type.lower():
        yield from of_form("email", content_type, body)


def readings(header, body):
    """A parser that fails reads nothing, as a server that answers 500."""
    found = []
    try:
        for reading in read(header, body):
            found.append(reading)
    except Exception as error:
        print(f"{error!r} at {header} {body!r}", file=sys.stderr)
    return found


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(readings(request["header"], base64.b64decode(request["body"]))), flush=True)
