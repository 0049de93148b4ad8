"""What a network costs and loses: drift from the float network, and counts of operations."""
