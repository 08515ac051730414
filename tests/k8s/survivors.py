"""What passes of all mistakes that are tried, looked at one by one, and why it does no harm."""

SURVIVORS: dict[str, str] = {}
