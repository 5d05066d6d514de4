"""Version 1 of the wire: event, inventory, command, record, seam, link, enrol, incident, query."""
