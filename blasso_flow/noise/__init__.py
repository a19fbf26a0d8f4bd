"""What samples show before anything is solved: how loud the noise is, the level that it does not cross, what will be hard."""
