"""Presence and inventory of the fleet: who is connected, who fell silent, what every host consists of."""
