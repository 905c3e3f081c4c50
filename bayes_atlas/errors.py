"""InputError, raised for mistakes that the user can fix."""


class InputError(ValueError):
    """Invalid input. The message names the value, the rule and the next step.

    The command prints the message without a traceback and exits with code 2. Any other exception is a bug.
    """
