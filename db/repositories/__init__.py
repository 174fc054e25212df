"""Every write: functions take the session first and never commit."""
