"""unit: rules; contract: adapters on their real backends; serve and e2e: the whole service, started once."""
