"""What other programs are told of a run: the numbers of each step's folder, and MLflow."""
