"""What is proven of a measure: its objective, a lower bound of the optimum, and where new particles belong."""
