"""What-if studies: executors for `hwsim.simulator.simulate` that run a graph on other arithmetic, or watch it run."""
