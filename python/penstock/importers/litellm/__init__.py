"""From a LiteLLM proxy: its configuration to a `penstock.yaml`, its table of keys to a file for `penstock keys import`."""
