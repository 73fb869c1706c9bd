"""Those who say who somebody is: agencies, their sign-in pages, their signed files."""
