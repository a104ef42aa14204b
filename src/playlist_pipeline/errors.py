"""The one error that a user can mend: its message is the line that the user sees."""


class UserError(ValueError):
    """Input cannot be used; the message says in one line what, where and what to do."""
