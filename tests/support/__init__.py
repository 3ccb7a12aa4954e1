"""What the tests stand on: scripted upstreams, a launched gateway, raw clients and slow, readable oracles."""
