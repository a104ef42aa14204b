"""Errors that a user can mend: the message of ``UserError``, or the place that the system refuses."""

import errno

FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the user's share of it, what one file may take
PLACE_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EIO, *FULL_ERRORS)
LONGEST_QUOTE = 300


class UserError(ValueError):
    """Input cannot be used; the message says in one line what, where and what to do."""


def in_one_line(error: object) -> str:
    """Return a text, such as another library's message, without line breaks and cut off where it is long."""
    line = " ".join(str(error).split())
    return line if len(line) <= LONGEST_QUOTE else line[:LONGEST_QUOTE] + " ..."
