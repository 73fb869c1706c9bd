"""Server-rendered pages: plain HTML that works without JavaScript, in each tenant's name, colours, language and money."""
