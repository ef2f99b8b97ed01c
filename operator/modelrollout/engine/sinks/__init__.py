"""Where people hear of transitions: sink.py is the port, one file per sink, registry.py lists them."""
