"""The token without which nobody talks to Ray; whoever has it can run code as the user.

Ray would write the token of a local instance to ``~/.ray/auth_token``, readable by every user of the machine.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

TOKEN_FILE = Path(".ray") / "auth_token"
"""Where Ray looks, below the home directory, unless RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH is set."""


def set_up_local_token() -> None:
    """Give the Ray that this process is about to start a token that is in no file, unless one is asked for already.

    The token is known to this process and its children only. Does nothing where RAY_AUTH_MODE is set.
    """
    if "RAY_AUTH_MODE" in os.environ:
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    if not os.environ.get("RAY_AUTH_TOKEN") and not os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def protect_token_file() -> None:
    """Take the token file that ``ray get-auth-token --generate`` wrote from the eyes of other users."""
    path = Path.home() / TOKEN_FILE
    with suppress(OSError, AttributeError):  # elsewhere than on POSIX there are no owners
        state = path.lstat()
        mine = stat.S_ISREG(state.st_mode) and state.st_uid == os.getuid()
        if mine and stat.S_IMODE(state.st_mode) & 0o077:
            path.chmod(0o600)
