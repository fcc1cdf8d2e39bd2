"""Tracking addresses without their secrets: what may be printed, stored or sent.

An address can hold a password or token before the host (``postgresql://user:secret@host/db``), in its query
(``?password=secret``), or in both. Nothing outside of MLflow's own calls ever sees more than
:func:`redact_uri` leaves of it.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

MASK = "***"
# A password may itself hold '@', '/', '?' or '#', where it should have been escaped: all before the last '@' goes.
USERINFO = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*:/{0,3})?(?P<secret>.*)@", re.DOTALL)
QUERY_VALUE = re.compile(r"(?P<name>[?&;][^=&;#\s]+=)(?P<secret>[^&;#\s]*)")
FRAGMENT = re.compile(r"#.*", re.DOTALL)
# Addresses in texts of other libraries, whose secret may be another one than ours.
ANY_USERINFO = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.\-]*://)[^\s/'\"<>]*@")
ANY_PASSWORD = re.compile(
    r"(?i)\b(?P<name>password|passwd|pwd|token|secret|api_?key)(?P<is>\s*[=:]\s*)[^\s,;&)'\"]+"
)
LEAST_LENGTH = 4
"""Shorter secrets are replaced in texts only where they stand by themselves: "a" is in every sentence."""


def redact_uri(uri: str) -> str:
    """``uri`` with user, password, values of its query and fragment replaced.

    >>> redact_uri("postgresql://me:secret@host:5432/db?sslmode=require&token=abc")
    'postgresql://***@host:5432/db?sslmode=***&token=***'
    >>> redact_uri("sqlite:////home/me@work/mlflow.db")
    'sqlite:////home/me@work/mlflow.db'
    """
    if uri.startswith(("sqlite:", "file:")):
        return uri
    shown = USERINFO.sub(lambda found: f"{found['scheme'] or ''}{MASK}@", uri, count=1)
    return FRAGMENT.sub(f"#{MASK}", QUERY_VALUE.sub(rf"\g<name>{MASK}", shown))


def public_base(uri: str) -> str:
    """The address of a server for a browser: without user, password, query and fragment.

    >>> public_base("https://me:secret@host/mlflow/?token=abc")
    'https://host/mlflow/'
    """
    return re.split(r"[?#]", redact_uri(uri).replace(f"{MASK}@", "", 1), maxsplit=1)[0]


def redact_text(text: str, uri: str = "") -> str:
    """``text``, such as the message of an exception, without the secrets of ``uri`` and of any other address in it."""
    if uri:
        text = text.replace(uri, redact_uri(uri))
    for secret in _list_secrets(uri):
        if len(secret) >= LEAST_LENGTH:
            text = text.replace(secret, MASK)
        else:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    text = ANY_USERINFO.sub(rf"\g<scheme>{MASK}@", text)
    return ANY_PASSWORD.sub(rf"\g<name>\g<is>{MASK}", text)


def first_line(error: Exception, uri: str) -> str:
    """Kind and first line of an error, without the secrets of ``uri``; MLflow's messages carry whole tracebacks."""
    text = str(error).strip() or repr(error)
    return f"{type(error).__name__}: {redact_text(text, uri).splitlines()[0]}"


def _list_secrets(uri: str) -> list[str]:
    """The secrets of an address as they may stand in a text, the longest first."""
    if not uri or uri.startswith(("sqlite:", "file:")):
        return []
    found = [match["secret"] for match in QUERY_VALUE.finditer(uri)]
    userinfo = USERINFO.match(uri)
    if userinfo:
        user, _, password = userinfo["secret"].partition(":")
        # Without a password the user is a token.
        found += [userinfo["secret"], password or user]
    forms = {form for secret in found for form in (secret, unquote(secret), quote(unquote(secret), safe=""))}
    return sorted(forms - {"", MASK}, key=lambda form: (-len(form), form))
