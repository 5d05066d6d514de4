"""Commands: queue in rows, validate, lease to a session, send again until accepted, expire, cancel; audit every step."""
