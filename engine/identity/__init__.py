"""Who people are: the encrypted vault, what a person can be found by, erasure. It knows neither rules nor money."""
