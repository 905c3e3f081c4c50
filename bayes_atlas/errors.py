"""The one kind of error that is the user's to mend."""


class InputError(ValueError):
    """Something given was not right; the message names the value, the rule and the next step.

    The command prints it without a traceback and exits with 2. Anything else that is raised is a defect of ours.
    """
