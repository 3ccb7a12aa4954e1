"""Keys, end to end: real gateways, real stores, one scripted upstream."""
