"""From messages to token ids and back: the only place that renders or tokenises."""
