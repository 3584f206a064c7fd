"""The protocol's own networks: their form, their training, where their weights are kept."""
