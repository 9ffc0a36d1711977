"""From measurements to a choice for every layer: table, space, exact solver, Optuna study."""
