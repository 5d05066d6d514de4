"""What operators ask of diagnosis, read from the store: why, who shares it, and their own word on an incident."""
