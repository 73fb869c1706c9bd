"""Those who carry messages and show screens on telephones, one folder a protocol."""
