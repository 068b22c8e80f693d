"""Reading free text: what answer a reply gives, whether it declines; no suite, no score."""
