"""Errors that a user can mend: the message of ``UserError``, or the place that the system refuses."""

import errno

PLACE_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EISDIR)


class UserError(ValueError):
    """Input cannot be used; the message says in one line what, where and what to do."""
