"""What the tap costs, measured against the sandbox beside other ways to do the same work."""
