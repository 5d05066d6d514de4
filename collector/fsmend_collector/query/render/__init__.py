"""From messages to what a person or a program reads: tables, descriptions, JSON, YAML."""
