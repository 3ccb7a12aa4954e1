"""From a LiteLLM proxy: its configuration to a `penstock.yaml`, its keys to a file for `penstock keys import`."""
