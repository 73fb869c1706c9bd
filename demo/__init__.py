"""The demo: a deployment with believable data, made by nothing but the public API and the command line."""
