"""The fleet simulator: fleets and failures with known truth, to measure diagnosis by.

fleet = make_fleet(FleetShape(), seed=1)
world = build("rack_power", fleet, seed=1)
outcome = run(world)
score(outcome)
"""
