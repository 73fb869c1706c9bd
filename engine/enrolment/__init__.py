"""Joining: who may, what they must show and agree to, and the number they get. It knows no money."""
