"""What a check of a command raises."""


class Wrong(Exception):
    """A command that cannot work as the page has it: why."""
