"""`flask doctor`: find faults in the service and its machine, and say what fixes them."""
