"""Benefits: what savings become, and what a member may expect of them."""
