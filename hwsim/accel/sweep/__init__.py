"""Design-space sweeps: a file says which points (`spec`, `space`), each is priced (`price`), appended to a file that a killed
run goes on from (`results`, `run`), and the best stand on a front (`pareto`)."""
