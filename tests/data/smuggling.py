"""Published request-smuggling shapes (RFC 9112 section 11.2 and its attackers since 2005): all must be refused."""

_LINE = b"POST /v1/chat/completions HTTP/1.1\r\n"
_HOST = b"Host: localhost\r\n"
_JSON = b"Content-Type: application/json\r\n"
_HIDDEN = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
_CHUNKED = b"0\r\n\r\n" + _HIDDEN


def _request(fields: bytes, body: bytes = _CHUNKED) -> bytes:
    return _LINE + _HOST + _JSON + fields + b"\r\n" + body


def _length(value: bytes) -> bytes:
    return b"Content-Length: " + value + b"\r\n"


_CODING = b"Transfer-Encoding: chunked\r\n"

SHAPES: dict[str, bytes] = {
    # Both framings.
    "CL.TE": _request(_length(b"5") + _CODING),
    "TE.CL": _request(_CODING + _length(b"5")),
    "CL.TE with length 0": _request(_length(b"0") + _CODING),
    "CL in another case and TE": _request(b"content-LENGTH: 5\r\n" + _CODING),
    # Lengths.
    "two lengths": _request(_length(b"0") + _length(b"5")),
    "two equal lengths": _request(_length(b"5") + _length(b"5")),
    "length list": _request(_length(b"5, 5")),
    "signed length": _request(_length(b"+5")),
    "negative length": _request(_length(b"-5")),
    "hex length": _request(_length(b"0x5")),
    "length with a blank": _request(_length(b"5 5")),
    "length with a fraction": _request(_length(b"5.0")),
    "length with an underscore": _request(_length(b"1_0")),
    "empty length": _request(_length(b"")),
    "overflowing length": _request(_length(b"18446744073709551621")),
    "length in other digits": _request(_length(b"\xd9\xa5")),
    "length with a NUL": _request(_length(b"5\x00")),
    "length with a vertical tab": _request(_length(b"\x0b5")),
    # Codings.
    "TE.TE": _request(_CODING + b"Transfer-Encoding: identity\r\n"),
    "two codings of chunked": _request(_CODING + _CODING),
    "chunked twice": _request(b"Transfer-Encoding: chunked, chunked\r\n"),
    "chunked then identity": _request(b"Transfer-Encoding: chunked, identity\r\n"),
    "identity then chunked": _request(b"Transfer-Encoding: identity, chunked\r\n"),
    "gzip then chunked": _request(b"Transfer-Encoding: gzip, chunked\r\n"),
    "chunked then gzip": _request(b"Transfer-Encoding: chunked, gzip\r\n"),
    "identity": _request(b"Transfer-Encoding: identity\r\n"),
    "unknown coding": _request(b"Transfer-Encoding: xchunked\r\n"),
    "coding with a parameter": _request(b"Transfer-Encoding: chunked;q=1\r\n"),
    "quoted coding": _request(b'Transfer-Encoding: "chunked"\r\n'),
    "coding with a leading comma": _request(b"Transfer-Encoding: ,chunked\r\n"),
    "coding with a vertical tab": _request(b"Transfer-Encoding:\x0bchunked\r\n"),
    "coding with a NUL": _request(b"Transfer-Encoding: chunked\x00\r\n"),
    "coding with a form feed": _request(b"Transfer-Encoding: \x0cchunked\r\n"),
    "coding with a high byte": _request(b"Transfer-Encoding: chunked\xff\r\n"),
    "empty coding": _request(b"Transfer-Encoding: \r\n"),
    "coding with a bare CR": _request(b"Transfer-Encoding: chunked\rX: y\r\n"),
    # Names.
    "space before the colon of TE": _request(b"Transfer-Encoding : chunked\r\n"),
    "tab before the colon of TE": _request(b"Transfer-Encoding\t: chunked\r\n"),
    "space before the colon of CL": _request(b"Content-Length : 5\r\n"),
    "space before a name": _LINE + _HOST + b" Transfer-Encoding: chunked\r\n\r\n" + _CHUNKED,
    "folded coding": _request(b"Transfer-Encoding:\r\n chunked\r\n"),
    "folded other field": _request(b"X: y\r\n\tTransfer-Encoding: chunked\r\n" + _length(b"5")),
    "NUL in a name": _request(b"Transfer-Encoding\x00: chunked\r\n"),
    "high byte in a name": _request(b"Transfer-Encoding\xa0: chunked\r\n"),
    "empty name": _request(b": chunked\r\n" + _length(b"5")),
    "line without a colon": _request(b"Transfer-Encoding chunked\r\n"),
    "parenthesis in a name": _request(b"Transfer(Encoding): chunked\r\n"),
    # Line ends.
    "bare LF after a field": _LINE + _HOST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKED,
    "bare LF everywhere": (_LINE + _HOST + _CODING + b"\r\n").replace(b"\r\n", b"\n") + _CHUNKED,
    "bare CR between fields": _LINE + _HOST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n" + _CHUNKED,
    "LF CR": _LINE + _HOST + b"X: y\n\rTransfer-Encoding: chunked\r\n\r\n" + _CHUNKED,
    "CR CR LF": _LINE + _HOST + b"X: y\r\r\n\r\n" + _CHUNKED,
    "NUL in a value": _request(b"X: a\x00b\r\n"),
    "head ended by LF LF": _LINE + _HOST + _length(b"0") + b"\n\n" + _HIDDEN,
    # Chunks.
    "chunk size with a sign": _request(_CODING, b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with 0x": _request(_CODING, b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with a blank before": _request(_CODING, b" 5\r\nhello\r\n0\r\n\r\n"),
    "chunk size that overflows": _request(_CODING, b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size of many zeros": _request(_CODING, b"0" * 40 + b"5\r\nhello\r\n0\r\n\r\n"),
    "empty chunk size": _request(_CODING, b"\r\nhello\r\n0\r\n\r\n"),
    "chunk size with letters": _request(_CODING, b"5g\r\nhello\r\n0\r\n\r\n"),
    "chunk size ended by LF": _request(_CODING, b"5\nhello\r\n0\r\n\r\n"),
    "chunk size ended by CR": _request(_CODING, b"5\rhello\r\n0\r\n\r\n"),
    "chunk data ended by LF": _request(_CODING, b"5\r\nhello\n0\r\n\r\n"),
    "chunk longer than its size": _request(_CODING, b"3\r\nhello\r\n0\r\n\r\n"),
    "chunk extension with a bare LF (TERM.EXT)": _request(_CODING, b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "chunk extension with a bare CR": _request(_CODING, b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "chunk extension without end": _request(_CODING, b"5;" + b"a" * 20_000 + b"\r\nhello\r\n0\r\n\r\n"),
    "many chunk extensions": _request(_CODING, b"1;aaaaaaaaaaaaaaaa\r\nx\r\n" * 2000 + b"0\r\n\r\n"),
    "last chunk with LF LF": _request(_CODING, b"5\r\nhello\r\n0\n\n"),
    "trailer folded": _request(_CODING, b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n"),
    "trailer without a colon": _request(_CODING, b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n"),
    "trailers without end": _request(_CODING, b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"),
    # What a refused body holds is looked at by nobody again.
    "an end of the body in a chunk that is longer": _request(_CODING, b"7\r\n\r\n0\r\n\r\n" + _HIDDEN),
    "an end of the body in a chunk before a bad one": _request(
        _CODING, b"%x\r\n%s\r\nZZ\r\n" % (len(_CHUNKED), _CHUNKED)
    ),
    # Versions and lines.
    "TE in HTTP/1.0": b"POST /v1/chat/completions HTTP/1.0\r\n" + _HOST + _CODING + b"\r\n" + _CHUNKED,
    "unknown version": b"POST /v1/chat/completions HTTP/1.2.3\r\n" + _HOST + b"\r\n",
    "HTTP/2 in clear": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /v1/models\r\n\r\n",
    "two blanks in the line": b"POST  /v1/chat/completions HTTP/1.1\r\n" + _HOST + _length(b"0") + b"\r\n",
    "tab in the line": b"POST\t/v1/chat/completions HTTP/1.1\r\n" + _HOST + _length(b"0") + b"\r\n",
    "blank in the target": b"POST /v1/chat/completions x HTTP/1.1\r\n" + _HOST + _length(b"0") + b"\r\n",
    "control byte in the target": b"POST /v1/chat\x01 HTTP/1.1\r\n" + _HOST + _length(b"0") + b"\r\n",
    "bare CR in the line": b"POST /v1/chat\rcompletions HTTP/1.1\r\n" + _HOST + _length(b"0") + b"\r\n",
    "method that is no token": b"PO(ST /v1/chat/completions HTTP/1.1\r\n" + _HOST + _length(b"0") + b"\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    # Hosts.
    "no host": _LINE + _length(b"0") + b"\r\n",
    "two hosts": _LINE + _HOST + b"Host: example.com\r\n" + _length(b"0") + b"\r\n",
    "two equal hosts": _LINE + _HOST + _HOST + _length(b"0") + b"\r\n",
    "absolute target of another host": b"POST http://example.com/v1/models HTTP/1.1\r\n"
    + _HOST
    + _length(b"0")
    + b"\r\n",
    "host with a path": _LINE + b"Host: localhost/x\r\n" + _length(b"0") + b"\r\n",
    "host with a user": _LINE + b"Host: a@localhost\r\n" + _length(b"0") + b"\r\n",
}
"""Name → the bytes of a connection."""
