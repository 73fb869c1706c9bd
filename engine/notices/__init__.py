"""What a scheme says to its people and asks of them by telephone: messages, templates, USSD menus."""
