"""What all wrappers share."""

AXIS = "jailbreak"
WORDINGS = 6
"""Every family has as many, so that holding out a number holds out a wording of each."""
